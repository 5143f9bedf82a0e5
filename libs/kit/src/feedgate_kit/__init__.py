"""The plumbing every Feedgate service stands on."""
