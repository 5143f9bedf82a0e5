"""Registry's ways to the world: its database and the host's resolver."""
