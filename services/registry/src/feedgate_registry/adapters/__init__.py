"""Registry's ways to the world: its database."""
