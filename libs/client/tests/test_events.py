"""Frame events as Server-Sent Events: each once, across whatever breaks."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence

import httpx
import pytest

from feedgate_client import ClientError, FeedgateClient, RefusedError
from feedgate_client.events import HttpFrameEvents, Repeats, kafka_frame_events
from feedgate_contracts.frame.v1.frame_pb2 import NOTICE_CODE_STARTED, FrameEvent, GroupOfPictures, Notice
from feedgate_contracts.frame.v1.frame_pb2 import Picture as PictureRecord

ORIGIN = "https://feedgate.test"


def notice(event_id: str) -> FrameEvent:
    return FrameEvent(event_id=event_id, grant_id="grant", notice=Notice(code=NOTICE_CODE_STARTED))


def group(event_id: str, *, run: bytes = b"run", first: int = 0, length: int = 2) -> FrameEvent:
    pictures = [PictureRecord(sequence=first + number) for number in range(length)]
    return FrameEvent(
        event_id=event_id, grant_id="grant", group_of_pictures=GroupOfPictures(run=run, pictures=pictures)
    )


def sent(position: str, event: FrameEvent) -> bytes:
    value = base64.b64encode(event.SerializeToString()).decode()
    data = json.dumps({"key": "camera/original", "value": value, "json": {}})
    return f"id: {position}\nevent: notice\ndata: {data}\n\n".encode()


class Stream(httpx.AsyncByteStream):
    """An answer that comes in these pieces and then ends, or breaks."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error


class Relay(httpx.AsyncBaseTransport):
    """Gives one answer after the other, and then says 403."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if not self.answers:
            return httpx.Response(403, json={"type": "urn:feedgate:problem:role-missing", "title": "Role"})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Reader:
    """An agency's program that reads until it is refused, which is how these streams end."""

    def __init__(self, relay: Relay, *, last_event_id: str | None = None, retries: int = 5) -> None:
        self.pauses: list[float] = []
        self.tokens = 0
        http = httpx.AsyncClient(base_url=ORIGIN, transport=relay)
        self.source = HttpFrameEvents(http, self._token, last_event_id, retries, pause=self._pause)

    async def read(self) -> list[str]:
        got: list[str] = []
        with pytest.raises(RefusedError, match="role-missing"):
            await self._read_into(got)
        return got

    async def _read_into(self, got: list[str]) -> None:
        async for event in self.source:
            got += [event.event_id]

    async def _token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def streaming(*pieces: bytes, error: Exception | None = None) -> httpx.Response:
    return httpx.Response(200, stream=Stream(pieces, error))


async def test_a_start_that_fails_leaves_no_consumer_open(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        stopped = False

        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def start(self) -> None:
            raise ConnectionError("no broker")

        async def stop(self) -> None:
            type(self).stopped = True

    monkeypatch.setattr("feedgate_client.events.AIOKafkaConsumer", Unreachable)
    with pytest.raises(ConnectionError):
        await anext(kafka_frame_events("kafka.example:9092", "metro-police", "group"))
    assert Unreachable.stopped


async def test_events_come_in_order_and_their_position_is_known() -> None:
    relay = Relay(streaming(b": frame events\n\n", sent("7", notice("a")), sent("8", notice("b"))))
    reader = Reader(relay)
    assert await reader.read() == ["a", "b"]
    assert reader.source.last_event_id == "8"
    assert reader.source.connected.is_set()


async def test_a_broken_connection_goes_on_where_it_was() -> None:
    whole = sent("8", notice("b"))
    relay = Relay(
        streaming(sent("7", notice("a")), whole[:30], error=httpx.ReadError("reset")),
        httpx.ConnectError("refused"),
        streaming(whole[:11], whole[11:]),
    )
    reader = Reader(relay)
    assert await reader.read() == ["a", "b"]
    assert [request.headers.get("last-event-id") for request in relay.asked] == [None, "7", "7", "8"]
    assert [request.headers["authorization"] for request in relay.asked] == [
        f"Bearer token-{number}" for number in (1, 2, 3, 4)
    ]


async def test_an_event_counts_as_handled_when_the_next_is_asked_for() -> None:
    relay = Relay(streaming(sent("7", notice("a")), sent("8", notice("b"))))
    source = Reader(relay).source
    events = aiter(source)
    await anext(events)
    assert source.last_event_id is None
    await anext(events)
    assert source.last_event_id == "7"


async def test_what_two_relays_report_comes_once() -> None:
    relay = Relay(
        streaming(
            sent("1", group("a", first=0)),
            sent("2", group("b", first=0)),
            sent("3", group("c", first=2)),
            sent("4", group("d", run=b"another", first=0)),
            sent("5", notice("e")),
            sent("6", notice("e")),
        )
    )
    reader = Reader(relay)
    assert await reader.read() == ["a", "c", "d", "e"]
    assert reader.source.last_event_id == "6"


async def test_a_position_is_taken_also_without_an_event() -> None:
    reader = Reader(Relay(streaming(b"id: 41\n\n", b": heartbeat\n\n")))
    assert await reader.read() == []
    assert reader.source.last_event_id == "41"


async def test_an_orderly_end_is_no_failure() -> None:
    relay = Relay(*(streaming(b": heartbeat\n\n") for _ in range(10)))
    reader = Reader(relay, retries=0)
    assert await reader.read() == []
    assert len(reader.pauses) == 10


async def test_the_relay_is_given_up_after_so_many_attempts_with_growing_pauses() -> None:
    relay = Relay(*(httpx.Response(503) for _ in range(9)))
    reader = Reader(relay, retries=3)
    with pytest.raises(ClientError, match="4 attempts"):
        async for _ in reader.source:
            pass
    assert [
        0.2 * 2**failures / 2 <= pause <= 0.2 * 2**failures for failures, pause in enumerate(reader.pauses, 1)
    ]
    assert len(reader.pauses) == 3
    assert reader.pauses == sorted(reader.pauses)


async def test_what_is_no_frame_event_is_passed_over_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    relay = Relay(
        streaming(
            b'id: 1\ndata: {"value": "AAAA"}\n\n',
            b"id: 2\ndata: nonsense\n\n",
            b'id: 3\ndata: {"value": "!"}\n\n',
            sent("4", notice("a")),
        )
    )
    assert await Reader(relay).read() == ["a"]
    assert len(caplog.records) == 3
    assert "nonsense" not in caplog.text


async def test_a_position_that_is_no_longer_kept_is_a_refusal() -> None:
    relay = Relay(
        httpx.Response(409, json={"type": "urn:feedgate:problem:position-unknown", "detail": "begin again"})
    )
    reader = Reader(relay, last_event_id="1")
    with pytest.raises(RefusedError, match="position-unknown: begin again"):
        await anext(aiter(reader.source))
    assert relay.asked[0].headers["last-event-id"] == "1"


@pytest.mark.parametrize("body", [b"", b"[]", b"not JSON", b'{"title": "no type"}'])
async def test_a_refusal_without_a_problem_has_its_status(body: bytes) -> None:
    async def token() -> str:
        return "access"

    transport = Relay(httpx.Response(404, content=body))
    async with FeedgateClient(ORIGIN, token, transport=transport) as client:
        with pytest.raises(RefusedError) as refused:
            await anext(aiter(client.frame_events()))
    assert refused.value.code == "http-404"


def test_a_relay_that_tells_more_of_a_group_is_not_repeating_the_one_that_told_less() -> None:
    repeats = Repeats()
    told = [("beginning", 2), ("whole", 5), ("whole again", 5), ("beginning again", 3)]
    assert [repeats.is_new(group(name, length=length)) for name, length in told] == [True, True, False, False]


def test_repeats_are_remembered_within_bounds() -> None:
    repeats = Repeats(remembered=2)
    asked: Callable[[str], bool] = lambda name: repeats.is_new(notice(name))  # noqa: E731
    assert [asked(name) for name in ("a", "a", "b", "c", "a")] == [True, False, True, True, True]
