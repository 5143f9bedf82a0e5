"""An OIDC issuer for development and the demo; never part of a deployment."""

from feedgate_tools.issuer.server import DevelopmentIssuer, NotLoopbackError, Person

__all__ = ["DevelopmentIssuer", "NotLoopbackError", "Person"]
