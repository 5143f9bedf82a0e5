"""System of record of the owner's side."""
