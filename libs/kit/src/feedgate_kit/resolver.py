"""Addresses of host names."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from feedgate_kit.addresses import Address


class Resolver(Protocol):
    """Who knows the addresses of host names."""

    async def addresses(self, host: str) -> Sequence[Address]:
        """All addresses of a name or literal; empty if it has none or none can be learned in time."""
        ...


class SystemResolver:
    """A `Resolver` that asks what every other program on this host would be told, in its order."""

    def __init__(self, timeout_s: float = 3.0) -> None:
        """Give up on a name after `timeout_s`."""
        self.timeout_s = timeout_s

    async def addresses(self, host: str) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass  # a name
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            return []
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))
