"""How Feedgate is run: images, servers, what watches it."""
