"""Real servers for the tests, each a child process that cannot outlive pytest."""
