"""The camera of the story: simulated, or the reader's own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from feedgate_kit.addresses import RtspUrlError, parse_rtsp_url
from feedgate_kit.errors import FeedgateError
from feedgate_tools.simulator.process import Simulator, SimulatorError
from feedgate_tools.simulator.settings import Settings


class CameraUnusableError(FeedgateError):
    """The demo cannot begin with this camera; the message never holds its address or password."""


@dataclass(frozen=True, slots=True)
class CameraSource:
    """Where the camera is, and the only addresses it may be pulled from."""

    url: str = field(repr=False)
    networks: tuple[str, ...]
    is_simulated: bool


@asynccontextmanager
async def open_camera(url: str | None) -> AsyncIterator[CameraSource]:
    """The reader's camera, or a simulated one that lives as long as the block.

    Raises:
        CameraUnusableError: `url` is no RTSP URL, its host has no address, or the simulator did not start.
    """
    if url is not None:
        yield await _own(url)
        return
    simulator = Simulator(Settings(user="shop", password="simulated-only"))  # noqa: S106 - opens nothing else
    try:
        await simulator.__aenter__()
    except SimulatorError as error:
        raise CameraUnusableError(f"the simulated camera did not start: {error}") from error
    try:
        yield CameraSource(simulator.rtsp_url(), ("127.0.0.1/32",), is_simulated=True)
    finally:
        await simulator.__aexit__()


async def _own(url: str) -> CameraSource:
    try:
        host = parse_rtsp_url(url).host
    except RtspUrlError as error:
        raise CameraUnusableError(f"CAMERA cannot be used: {error}") from None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = {ip_address(entry[4][0]) for entry in found}
    except (OSError, ValueError):
        raise CameraUnusableError("CAMERA cannot be used: its host has no address") from None
    # Every address of the name is judged, so every one must be allowed; nothing else is.
    networks = tuple(sorted(f"{address}/{address.max_prefixlen}" for address in addresses))
    return CameraSource(url, networks, is_simulated=False)
