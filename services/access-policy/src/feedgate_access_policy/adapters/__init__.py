"""Access-policy's ways to the world: its database."""
