"""The examples that the package shows are run as they stand."""

import asyncio
import re
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import feedgate_client
from feedgate_client import FeedgateClient
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from libs.client.tests.scripted_relay import INIT_SEGMENT, running_relay, sample
from libs.client.tests.test_events import Relay as EventsRelay
from libs.client.tests.test_events import notice, sent, streaming

README = Path(__file__).parents[1] / "README.md"
GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "agency-developer.md"


def examples() -> dict[str, str]:
    """The indented blocks of the package's docstring, by the name of the function each defines."""
    blocks = re.findall(r"(?:^    .*\n|^\n)+", (feedgate_client.__doc__ or "") + "\n", re.MULTILINE)
    code = [textwrap.dedent(block).strip() for block in blocks if block.strip()]
    return {re.findall(r"async def (\w+)", block)[0]: block for block in code}


def defined(name: str, transport: httpx.AsyncBaseTransport, **names: Any) -> Callable[..., Awaitable[Any]]:
    def client(origin: str, token: feedgate_client.Token) -> FeedgateClient:
        return FeedgateClient(origin, token, transport=transport)

    scope: dict[str, Any] = {
        **vars(feedgate_client),
        "Callable": Callable,
        "FrameEvent": FrameEvent,
        "FeedgateClient": client,
        **names,
    }
    exec(examples()[name], scope)  # the package's own text
    function: Callable[..., Awaitable[Any]] = scope[name]
    return function


async def token() -> str:
    return "access"


@pytest.mark.sockets
async def test_watch(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[tuple[bytes, bytes]] = []
    async with asyncio.timeout(20), running_relay() as relay:

        async def ticket(request: httpx.Request) -> httpx.Response:
            assert request.url.path.endswith("/grant/tickets")
            return httpx.Response(201, json=await relay.take_ticket())

        def show(init_segment: bytes, fragment: bytes) -> None:
            shown.append((init_segment, fragment))
            seen.set()

        seen = asyncio.Event()
        watch = defined("watch", httpx.MockTransport(ticket), show=show)
        watching = asyncio.ensure_future(watch(relay.origin, token, "grant"))
        await relay.notice("started")
        await relay.init()
        await relay.show(0)
        await seen.wait()
        await relay.stop()
        assert await watching == "authorisation_withdrawn"
    assert [init for init, _ in shown] == [INIT_SEGMENT]
    assert shown[0][1].endswith(sample(0))
    assert capsys.readouterr().out == "started \n"


async def test_record() -> None:
    kept: list[FrameEvent] = []
    relay = EventsRelay(streaming(sent("1", notice("a"))))
    record = defined("record", relay)
    with pytest.raises(feedgate_client.RefusedError):
        await record("https://feedgate.test", token, kept.append)
    assert [event.event_id for event in kept] == ["a"]


@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.name)
def test_pages_show_the_same(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in examples().values():
        assert block in text
