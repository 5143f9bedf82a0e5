"""Alembic's way in: see `feedgate_kit.migration`."""

from feedgate_access_policy.tables import METADATA
from feedgate_kit.migration import run_migrations

run_migrations(METADATA)
