"""A view over two real sockets: what comes, in which order, and how it ends."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.server import ServerConnection

from feedgate_client import ClientError, FeedgateClient, Notice, Picture, RefusedError, View
from feedgate_client import view as view_module
from feedgate_client.pictures import HEADER
from libs.client.tests.scripted_relay import (
    INIT_SEGMENT,
    SENT_AT_US,
    Relay,
    running_relay,
    sample,
)

pytestmark = pytest.mark.sockets


@asynccontextmanager
async def opened(relay: Relay) -> AsyncIterator[View]:
    view = View(relay.origin, relay.take_ticket)
    try:
        await view.open()
        yield view
    finally:
        await view.close()


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with asyncio.timeout(20), running_relay() as started:
        yield started


@pytest.fixture
async def view(relay: Relay) -> AsyncIterator[View]:
    async with opened(relay) as one:
        yield one


async def test_pictures_come_with_what_a_player_needs(relay: Relay, view: View) -> None:
    await relay.notice("started")
    await relay.init()
    await relay.show(0, 1)
    items = aiter(view)
    started = await anext(items)
    assert isinstance(started, Notice)
    assert started.code == "started"
    first, second = await anext(items), await anext(items)
    assert isinstance(first, Picture)
    assert isinstance(second, Picture)
    assert first.is_random_access_point
    assert not second.is_random_access_point
    assert first.init_segment == INIT_SEGMENT
    assert (first.sequence, first.sample) == (0, sample(0))
    assert second.fragment.endswith(sample(1))
    assert second.sent_at_us == SENT_AT_US + 1
    assert (view.view_id, view.stream) == ("view", "camera/original")


async def test_ticket_and_secret_are_offered_as_subprotocols(relay: Relay, view: View) -> None:
    await relay.media
    assert view.view_id
    assert relay.offered == [["feedgate.v1", "ticket.signed-1"], ["feedgate.v1", "media.secret"]]


async def test_the_view_ends_after_stopped_and_hands_out_no_later_picture(relay: Relay, view: View) -> None:
    await relay.init()
    await relay.show(0)
    items = aiter(view)
    assert isinstance(await anext(items), Picture)
    await relay.notice("stopped", "authorisation_withdrawn")
    stopped = await anext(items)
    assert isinstance(stopped, Notice)
    assert (stopped.code, stopped.reason) == ("stopped", "authorisation_withdrawn")
    await relay.show(1, 2)
    await (await relay.media).close(4030, "authorisation_withdrawn")
    await (await relay.notices).close(4030, "authorisation_withdrawn")
    assert [item async for item in items] == []
    assert view.close_code == 4030
    assert view.late_pictures == 2


async def test_what_was_not_looked_at_when_it_was_covered_never_is(relay: Relay, view: View) -> None:
    await relay.init()
    await relay.show(0)
    items = aiter(view)
    assert isinstance(await anext(items), Picture)
    await relay.show(1, 2, 3)
    await until(lambda: len(view._pictures) == 3)
    await relay.notice("paused_by_owner", "paused")
    await relay.stop()
    assert [item.code for item in [item async for item in items] if isinstance(item, Notice)] == [
        "paused_by_owner",
        "stopped",
    ]


async def test_a_broken_connection_is_a_lost_view(relay: Relay, view: View) -> None:
    (await relay.notices).transport.abort()
    items = [item async for item in view]
    assert [(item.code, item.reason) for item in items if isinstance(item, Notice)] == [
        ("lost", "connection_lost")
    ]
    assert view.close_code == 1006


async def test_without_a_lease_the_view_is_lost(
    relay: Relay, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "LEASE_S", 0.05)
    await relay.lease()  # the last one, and the first to count for so short a time
    items = [item async for item in view]
    assert [(item.code, item.reason) for item in items if isinstance(item, Notice)] == [("lost", "no_lease")]


async def test_notices_do_not_stand_in_for_a_lease(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "LEASE_S", 0.3)
    async with opened(relay) as view:
        told = asyncio.create_task(tell_for_ever(relay))
        items = [item async for item in view]
        told.cancel()
        await asyncio.gather(told, return_exceptions=True)
    assert isinstance(items[-1], Notice)
    assert items[-1].reason == "no_lease"


async def test_a_gap_in_the_numbers_is_a_lost_view(relay: Relay, view: View) -> None:
    await relay.lease()
    relay.lose_a_message()
    await relay.notice("expiring")
    items = [item async for item in view]
    assert [(item.code, item.reason) for item in items if isinstance(item, Notice)] == [
        ("lost", "gap_in_notices")
    ]


async def test_what_is_not_taken_is_not_held(relay: Relay, view: View) -> None:
    """The relay sends more than the client holds: it stops reading, and the sender feels it."""
    await relay.init()
    media = await relay.media
    large = bytes(200_000)

    async def flood() -> None:
        sequence = 0
        while True:
            body = (8 + len(large)).to_bytes(4, "big") + b"mdat" + large
            await media.send(HEADER.pack(2, 1, 0, sequence, 0) + body)
            sequence += 1

    flooding = asyncio.create_task(flood())
    await until(lambda: len(view._pictures) == view_module.PICTURES_HELD)
    await until(lambda: media.transport.get_write_buffer_size() > 0)
    assert len(view._pictures) == view_module.PICTURES_HELD
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_a_refusal_at_the_door_says_why(relay: Relay) -> None:
    async def refuse(socket: ServerConnection) -> None:
        await socket.close(4015, "ticket_used")

    relay.door = refuse
    view = View(relay.origin, relay.take_ticket)
    with pytest.raises(RefusedError) as refused:
        await view.open()
    assert refused.value.code == "ticket_used"
    assert view.close_code == 4015
    await view.close()


async def test_an_unreachable_relay_is_a_client_error(relay: Relay) -> None:
    view = View("http://127.0.0.1:9", relay.take_ticket)
    with pytest.raises(ClientError, match="cannot be opened"):
        await view.open()
    await view.close()


@pytest.mark.parametrize("message", ["text", b"short", HEADER.pack(2, 0, 0, 0, 0) + b"no box here"])
async def test_undocumented_media_end_the_view_with_an_error(
    relay: Relay, view: View, message: str | bytes
) -> None:
    await (await relay.media).send(message)
    with pytest.raises(ClientError):
        async for _ in view:
            pass


async def test_undocumented_notices_end_the_view_with_an_error(relay: Relay, view: View) -> None:
    await (await relay.notices).send("[]")
    with pytest.raises(ClientError, match="not a message"):
        async for _ in view:
            pass


async def test_a_fresh_ticket_extends_the_view(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "RENEW_BEFORE_S", 299.5)
    async with opened(relay):
        relay.view_until = "2999-01-01T00:00:00.000Z"
        assert '"signed-2"' in str(await (await relay.notices).recv())
    assert relay.tickets == 2


@pytest.mark.parametrize(
    "hiccup",
    [
        ClientError("no ticket could be asked for: ConnectError"),
        RefusedError("temporarily-unavailable", "try again", may_pass=True),
        OSError("the issuer cannot be reached"),
        KeyError("access_token"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_hiccup_at_renewal_is_tried_again_and_ends_nothing(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, hiccup: Exception
) -> None:
    monkeypatch.setattr(view_module, "RENEW_BEFORE_S", 299.5)
    monkeypatch.setattr(view_module, "RENEW_FIRST_PAUSE_S", 0.01)
    relay.hiccups = [hiccup, hiccup]
    async with opened(relay) as view:
        relay.view_until = "2999-01-01T00:00:00.000Z"
        assert '"signed-4"' in str(await (await relay.notices).recv())
        await relay.init()
        await relay.show(0)
        assert isinstance(await anext(aiter(view)), Picture)


async def test_a_ticket_that_gains_nothing_is_not_the_last(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a cached token, whose end is the view's."""
    monkeypatch.setattr(view_module, "RENEW_BEFORE_S", 299.5)
    monkeypatch.setattr(view_module, "RENEW_FIRST_PAUSE_S", 0.01)
    async with opened(relay):
        await until(lambda: relay.tickets >= 3)
        useless = relay.tickets
        relay.view_until = "2999-01-01T00:00:00.000Z"
        extension = json.loads(await (await relay.notices).recv())
        assert int(extension["ticket"].removeprefix("signed-")) > useless


async def test_a_final_refusal_of_a_renewal_is_the_last(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "RENEW_BEFORE_S", 299.5)
    monkeypatch.setattr(view_module, "RENEW_FIRST_PAUSE_S", 0.01)
    relay.hiccups = [RefusedError("access-denied", "the grant was closed")]
    async with opened(relay) as view:
        renewing = view._tasks[-1]
        await renewing
        assert relay.tickets == 2
        await relay.init()
        await relay.show(0)
        assert isinstance(await anext(aiter(view)), Picture)


async def test_renewal_ends_with_the_view(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "RENEW_FIRST_PAUSE_S", 0.01)
    relay.view_until = "2026-01-01T00:00:00.000Z"
    async with opened(relay) as view:
        await view._tasks[-1]
    assert relay.tickets == 1


@pytest.mark.parametrize(("status", "may_pass"), [(503, True), (429, True), (502, True), (403, False)])
async def test_a_refusal_says_whether_it_may_pass(status: int, may_pass: bool) -> None:
    async def token() -> str:
        return "access"

    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    async with FeedgateClient("https://feedgate.test", token, transport=transport) as client:
        with pytest.raises(RefusedError) as refused:
            await client.take_ticket("grant")
    assert refused.value.may_pass is may_pass


async def test_the_client_takes_its_ticket_with_its_token(relay: Relay) -> None:
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(201, json=await relay.take_ticket())

    async def token() -> str:
        return "access"

    async with (
        FeedgateClient(relay.origin, token, transport=httpx.MockTransport(answer)) as client,
        client.open_view("grant") as view,
    ):
        await relay.stop()
        assert [item.code async for item in view if isinstance(item, Notice)] == ["stopped"]
    assert asked[0].url.path == "/access-policy/v1/grants/grant/tickets"
    assert asked[0].headers["authorization"] == "Bearer access"


async def test_a_refused_ticket_says_why() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        del request
        problem = {
            "type": "urn:feedgate:problem:access-denied",
            "title": "Access denied",
            "detail": "The grant was closed.",
            "reasons": ["authorisation_withdrawn"],
        }
        return httpx.Response(403, json=problem)

    async def token() -> str:
        return "access"

    async with FeedgateClient(
        "https://feedgate.test", token, transport=httpx.MockTransport(answer)
    ) as client:
        with pytest.raises(RefusedError, match="access-denied: The grant was closed") as refused:
            await client.take_ticket("grant")
    assert refused.value.problem["reasons"] == ["authorisation_withdrawn"]


async def tell_for_ever(relay: Relay) -> None:
    while True:
        await relay.notice("expiring")
        await asyncio.sleep(0.02)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the view has no event for its insides
        await asyncio.sleep(0.005)


async def test_a_view_may_be_closed_as_soon_as_it_is_open(relay: Relay) -> None:
    async with opened(relay) as view:
        pass
    assert [item async for item in view] == []
    # What it had not begun yet is nowhere left un-awaited: a warning would fail this test.
    gc.collect()
