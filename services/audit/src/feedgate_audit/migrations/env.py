"""Alembic's entry point."""

from feedgate_audit.tables import metadata
from feedgate_kit.migration import run_migrations

run_migrations(metadata)
