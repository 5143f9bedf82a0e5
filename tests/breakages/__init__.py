"""Rules broken on purpose, to see that a test notices each."""
