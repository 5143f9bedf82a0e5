"""Frame events over HTTP: what a stream holds open, and for how long."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from fastapi.responses import StreamingResponse

from feedgate_kit.bus.ports import EventLog
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.identity import Principal
from feedgate_kit.problems import Problem
from feedgate_kit.topics import frame_events
from feedgate_relay.events_api import MAXIMUM_STREAMS, EventStreams
from services.relay.tests.scene import AGENCY, HOUR_US
from services.relay.tests.stage import Stage


def caller(stage: Stage, agency: str = AGENCY) -> Principal:
    return Principal(
        issuer="https://agency.example",
        subject="system",
        realm="agency",
        agency=agency,
        roles=frozenset({"system"}),
        acr=None,
        expires_at=stage.clock.now_us() + HOUR_US,
    )


def body(answer: StreamingResponse) -> AsyncGenerator[bytes, None]:
    return cast("AsyncGenerator[bytes, None]", answer.body_iterator)


async def test_a_client_that_goes_before_the_first_byte_leaves_nothing_open(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str | None] = []
    log = stage.bus.event_log(frame_events(AGENCY))
    tail = log.tail

    def noted(after: str | None) -> AsyncGenerator[StoredRecord, None]:
        opened.append(after)
        return tail(after)

    monkeypatch.setattr(log, "tail", noted)
    answer = await EventStreams(stage.bus, stage.clock).events(caller(stage), None)
    await stage.settle()
    await body(answer).aclose()
    assert opened == []


async def test_an_agency_has_so_many_streams_at_once(stage: Stage) -> None:
    streams = EventStreams(stage.bus, stage.clock)
    bodies = [body(await streams.events(caller(stage), None)) for _ in range(MAXIMUM_STREAMS)]
    for each in bodies:
        await anext(each)
    with pytest.raises(Problem) as refused:
        await streams.events(caller(stage), None)
    assert (refused.value.status, refused.value.code) == (429, "too-many-streams")
    others = body(await streams.events(caller(stage, "another"), None))
    await anext(others)
    await bodies.pop().aclose()
    await stage.settle()  # its reader closes in a task of its own
    bodies.append(body(await streams.events(caller(stage), None)))
    for each in (*bodies, others):
        await each.aclose()


async def test_a_stream_goes_on_after_the_position_it_was_given(stage: Stage) -> None:
    log: EventLog = stage.bus.event_log(frame_events(AGENCY))
    streams = EventStreams(stage.bus, stage.clock)
    first = body(await streams.events(caller(stage), None))
    assert (await anext(first)).startswith(b"id: ")
    for _ in range(2):
        await log.append(Record("camera", b""))
    position = (await anext(first)).split(b"\n")[0].removeprefix(b"id: ").decode()
    await first.aclose()
    resumed = body(await streams.events(caller(stage), position))
    assert await anext(resumed) == f"id: {position}\n\n".encode()
    assert (await anext(resumed)).startswith(f"id: {int(position) + 1}\n".encode())
    await resumed.aclose()
    with pytest.raises(Problem) as refused:
        await streams.events(caller(stage), "no position")
    assert (refused.value.status, refused.value.code) == (409, "position-unknown")


async def test_who_asks_for_one_too_many_costs_the_bus_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = stage.bus.event_log(frame_events(AGENCY))
    asked, answered = 0, asyncio.Event()

    async def check(position: str) -> None:
        nonlocal asked
        del position
        asked += 1
        await answered.wait()

    monkeypatch.setattr(log, "check", check)
    streams = EventStreams(stage.bus, stage.clock)
    asking = [asyncio.ensure_future(streams.events(caller(stage), "1")) for _ in range(MAXIMUM_STREAMS + 5)]
    refused = [asyncio.ensure_future(streams.events(caller(stage), None)) for _ in range(5)]
    await stage.settle()
    assert asked == MAXIMUM_STREAMS
    answered.set()
    answers = await asyncio.gather(*asking, *refused, return_exceptions=True)
    problems = [answer.code for answer in answers if isinstance(answer, Problem)]
    assert problems == ["too-many-streams"] * 10
