"""Where the relay meets the network."""
