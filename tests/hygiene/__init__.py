"""What must never be committed, and the search for it."""
