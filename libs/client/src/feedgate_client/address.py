"""Where Feedgate is, as its two kinds of connections need to be told."""

import ipaddress
from urllib.parse import urlsplit, urlunsplit

WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


def websocket_url(base_url: str) -> str:
    """The origin of WebSockets that belongs to an HTTP origin.

    Raises:
        ValueError: it is neither `http://…` nor `https://…`.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in WEBSOCKET_SCHEMES or not parts.netloc:
        raise ValueError(f"base URL `{base_url}`; allowed: `https://host` or `http://host`")
    return urlunsplit(parts._replace(scheme=WEBSOCKET_SCHEMES[parts.scheme])).rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether it leads to this very machine, where no proxy of the environment does."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
