"""What an agency installs to receive frame events and pictures."""
