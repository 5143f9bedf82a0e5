"""Append-only record of who was shown what, and why."""
