"""Keycloak's realms for a deployment, as files that Keycloak imports."""
