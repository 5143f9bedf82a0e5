"""The rule that tokens cross no network in the clear."""

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from feedgate_kit.errors import OperatorError


class PlainHttpIssuerError(OperatorError):
    """An issuer speaks plain http although something of ours can be reached from outside this host."""


def is_loopback(host: str) -> bool:
    """Whether `host` cannot be reached from another machine.

    Only `localhost` and loopback addresses are; any other name could resolve to anything.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def refuse_plain_http(issuer_urls: Iterable[str], own_hosts: Mapping[str, str]) -> None:
    """Allow an issuer on plain http only where everything is on loopback.

    Args:
        issuer_urls: the issuers and the addresses of their keys.
        own_hosts: hosts this service binds or talks to, by the name of the setting they come from.

    Raises:
        PlainHttpIssuerError: names the issuer and the setting that leads off this host.
    """
    for url in issuer_urls:
        parts = urlsplit(url)
        if parts.scheme != "http":
            continue
        if not is_loopback(parts.hostname or ""):
            raise PlainHttpIssuerError(f"issuer `{url}` is plain http and not on loopback; allowed: https")
        for setting, host in own_hosts.items():
            if not is_loopback(host):
                raise PlainHttpIssuerError(
                    f"issuer `{url}` is plain http, which is allowed only where everything is on loopback,"
                    f" and {setting} names the host `{host}`"
                )
