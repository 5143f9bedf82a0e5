"""The stack of docker-compose.yml on a Docker engine of the tests' own."""
