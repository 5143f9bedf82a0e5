"""Alembic's way in: see `feedgate_kit.migration`."""

from feedgate_kit.migration import run_migrations
from feedgate_registry.tables import METADATA

run_migrations(METADATA)
