"""The host's own resolver, as ingest's host would use it."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from feedgate_kit.addresses import Address
from feedgate_registry.ports import UnresolvableError


class HostResolver:
    """`getaddrinfo`, with a limit on how long it may take."""

    def __init__(self, timeout_s: float) -> None:
        """Give up on a name after `timeout_s`."""
        self.timeout_s = timeout_s

    async def resolve(self, host: str) -> Sequence[Address]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise UnresolvableError("the host has no address, or its name server did not answer") from error
        return sorted({ip_address(entry[4][0]) for entry in found}, key=lambda one: (one.version, int(one)))
