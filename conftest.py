"""Every test of the repository sees the same servers and the same rules."""

pytest_plugins = ["pytester", "tests.servers.needs", "tests.servers.fixtures"]
