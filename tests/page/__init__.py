"""What the browser tests are made of: a relay that does as it is told, and eyes for the screen."""
