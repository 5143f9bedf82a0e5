"""The relay's doors over real sockets: uvicorn on loopback, WebSocket clients, the bus in memory."""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from feedgate_client.events import HttpFrameEvents
from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.camera.v1.camera_pb2 import SHARING_STOPPED
from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import Addresses, running
from feedgate_kit.service import Service
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.topics import (
    ACCESS_UNITS,
    CAMERA_STATE,
    DEMAND_EVENTS,
    GRANT_STATE,
    audit_events,
    frame_events,
)
from feedgate_relay.app import create_app
from feedgate_relay.close_codes import CloseCode
from feedgate_relay.connection import RelayWebSocketProtocol
from feedgate_relay.ports import RelayPorts
from feedgate_relay.settings import RelaySettings
from services.relay.tests.scene import (
    AGENCY,
    STREAM,
    Lens,
    TicketOffice,
    camera_state,
    grant_state,
    heartbeat_record,
    state_record,
)

ORIGIN = "https://feedgate.example"
ANYWHERE = Listen("127.0.0.1", 0)
PICTURE_S = 0.02
HEAVY = b"\x06" + bytes(range(256)) * 200
"""51 kB more in every picture."""
FILLING = HEAVY[:2000]
"""The kernel takes fifteen such pictures for a viewer who has room for two."""
MEDIA_HEADER = struct.Struct(">BBHIQ")


@dataclass
class Site:
    """A running relay, its neighbours played by the test."""

    bus: EmbeddedBus
    clock: SystemClock
    office: TicketOffice
    service: Service
    addresses: Addresses
    issuer: LocalIssuer
    lens: Lens

    def url(self, door: str) -> str:
        return f"{self.addresses.public.websocket_origin}/relay/v1/{door}"

    def notices(self, ticket: str | None = None, **options: Any) -> connect:
        offered = ["feedgate.v1", f"ticket.{ticket or self.office.ticket()}"]
        return connect(self.url("notices"), **{"subprotocols": offered, **options})

    def media(self, secret: str, **options: Any) -> connect:
        offered = ["feedgate.v1", f"media.{secret}"]
        return connect(
            self.url("relays/relay-1/media"),
            **{"subprotocols": offered, "max_size": None, "max_queue": None, **options},
        )

    @asynccontextmanager
    async def watching(self, **options: Any) -> AsyncIterator[tuple[ClientConnection, ClientConnection]]:
        async with self.notices() as notices:
            hello = json.loads(await notices.recv())
            async with self.media(hello["media_secret"], **options) as media:
                yield notices, media

    async def withdraw(self) -> None:
        stopped = camera_state(self.clock.now_us(), version=2, terms=[], sharing=SHARING_STOPPED)
        await self.bus.state_log(CAMERA_STATE).append(state_record(stopped, self.clock))

    async def audit(self, *wanted: str) -> list[AuditRecord]:
        """Audit records up to the first of each wanted event."""
        records: list[AuditRecord] = []
        consumer = await self.bus.event_log(audit_events("relay")).open_consumer(f"test {wanted}")
        while not {record.event for record in records}.issuperset(wanted):
            records += [AuditRecord.FromString(stored.record.value) for stored in await consumer.read()]
        await consumer.close()
        return records

    async def view_ended(self, view_id: str) -> AuditRecord:
        """The record of this view's end."""
        consumer = await self.bus.event_log(audit_events("relay")).open_consumer(f"end of {view_id}")
        while True:
            for stored in await consumer.read():
                record = AuditRecord.FromString(stored.record.value)
                if (record.event, record.view_id) == ("view.ended", view_id):
                    await consumer.close()
                    return record

    async def beat(self) -> None:
        while True:
            for topic in (CAMERA_STATE, GRANT_STATE):
                await self.bus.state_log(topic).append(heartbeat_record(self.clock.now_us()))
            await asyncio.sleep(0.2)

    async def film(self) -> None:
        """What ingest does, demanded or not."""
        feed = self.bus.media_feed(ACCESS_UNITS)
        while True:
            feed.offer(self.lens.record())
            await asyncio.sleep(PICTURE_S)


@pytest.fixture
async def site(socket_enabled: None) -> AsyncIterator[Site]:
    clock = SystemClock()
    bus = EmbeddedBus(None, clock)
    await bus.start()
    now_us = clock.now_us()
    await bus.state_log(CAMERA_STATE).append(state_record(camera_state(now_us), clock))
    await bus.state_log(GRANT_STATE).append(state_record(grant_state(now_us), clock))
    office = TicketOffice(clock)
    issuer = LocalIssuer.generate("https://agency.example", clock, realm="agency", agency=AGENCY)
    async with TokenVerifier([issuer.config()], clock) as verifier:
        service = create_app(
            RelaySettings(skew_s=0, stall_s=0.1, public_origin=ORIGIN),
            RelayPorts(bus=bus, clock=clock, verifier=verifier, ticket_keys=office),
        )
        async with running(service, ANYWHERE, ANYWHERE, shutdown_s=2) as addresses:
            site = Site(bus, clock, office, service, addresses, issuer, Lens(clock))
            neighbours = [asyncio.create_task(site.beat()), asyncio.create_task(site.film())]
            await ready(addresses)
            yield site
            for neighbour in neighbours:
                neighbour.cancel()
            await asyncio.gather(*neighbours, return_exceptions=True)
    await bus.close()


async def ready(addresses: Addresses) -> None:
    """Return once the relay says that it is of use."""
    async with httpx.AsyncClient(base_url=addresses.public.origin, trust_env=False) as client:
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).status_code != 200:
                continue


async def closed_with(connection: ClientConnection) -> int:
    """The close code, after whatever comes before it."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()
    assert connection.close_code is not None
    return connection.close_code


async def broken_off(connection: ClientConnection) -> ConnectionClosed:
    """How the connection ended, after whatever comes before it."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed as error:
        return error


async def next_notice(connection: ClientConnection, code: str) -> dict[str, Any]:
    """The first notice of this code, after whatever comes before it."""
    while True:
        message = json.loads(await connection.recv())
        if message["type"] == "notice" and message["code"] == code:
            return dict(message)


async def pictures(connection: ClientConnection, count: int) -> list[int]:
    """Sequences of the next pictures."""
    taken: list[int] = []
    while len(taken) < count:
        message = await connection.recv()
        assert isinstance(message, bytes)
        kind, _, _, sequence, _ = MEDIA_HEADER.unpack_from(message)
        if kind == 2:
            taken.append(sequence)
    return taken


async def test_pictures_leases_and_notices_flow(site: Site) -> None:
    async with site.watching() as (notices, media):
        assert notices.subprotocol == media.subprotocol == "feedgate.v1"
        shown = await pictures(media, 30)
        assert shown == list(range(shown[0], shown[0] + 30))
        assert shown[0] % 10 == 0
        await next_notice(notices, "started")
        kinds = {json.loads(await notices.recv())["type"] for _ in range(2)}
        assert kinds == {"lease"}
        tail = site.bus.event_log(DEMAND_EVENTS).tail(None)
        demanded = StreamDemanded.FromString((await anext(tail)).record.value)
        assert (demanded.stream, demanded.release) == (STREAM, False)


async def test_withdrawal_ends_the_pictures_and_nothing_comes_after_the_notice(site: Site) -> None:
    async with site.watching() as (notices, media):
        await pictures(media, 12)
        await site.withdraw()
        sent_at: list[int] = []
        with suppress(ConnectionClosed):
            while True:
                message = await media.recv()
                assert isinstance(message, bytes)
                sent_at.append(MEDIA_HEADER.unpack_from(message)[4])
        assert media.close_code == CloseCode.AUTHORISATION_WITHDRAWN
        notice = await next_notice(notices, "stopped")
        assert notice["reason"] == "authorisation_withdrawn"
        await notices.send(json.dumps({"type": "dark", "ms": 21, "code": "stopped"}))
        assert await closed_with(notices) == CloseCode.AUTHORISATION_WITHDRAWN
    records = {record.event: record for record in await site.audit("view.started", "view.ended", "view.dark")}
    assert records["view.dark"].dark_ms <= 21  # no more than has passed since the notice
    ended = records["view.ended"]
    assert ended.usage.pictures >= 12
    assert all(at_us <= ended.dark_at.ToMicroseconds() for at_us in sent_at)
    assert ended.dark_at.ToMicroseconds() <= ended.occurred_at.ToMicroseconds()

    async with site.notices() as refused:
        assert await closed_with(refused) == CloseCode.AUTHORISATION_WITHDRAWN


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"subprotocols": ["feedgate.v1"]}, CloseCode.TICKET_MISSING),
        ({"subprotocols": ["feedgate.v1", "ticket.no-ticket"]}, CloseCode.TICKET_INVALID),
        ({"subprotocols": None}, CloseCode.SUBPROTOCOL_MISSING),
        ({"origin": "https://elsewhere.example"}, CloseCode.ORIGIN_REFUSED),
        ({"origin": "null"}, CloseCode.ORIGIN_REFUSED),
    ],
    ids=["no ticket", "no token", "no subprotocol", "another origin", "a page from a file"],
)
async def test_what_is_refused_is_accepted_first_and_then_closed_with_its_code(
    site: Site, options: dict[str, Any], code: CloseCode
) -> None:
    async with site.notices(**options) as connection:
        assert await closed_with(connection) == code


async def test_the_public_origin_is_let_in(site: Site) -> None:
    async with site.notices(origin=ORIGIN) as connection:
        assert json.loads(await connection.recv())["type"] == "hello"


async def test_a_replayed_an_old_a_foreign_and_a_pre_start_ticket_open_nothing(site: Site) -> None:
    ticket = site.office.ticket()
    async with site.notices(ticket) as first:
        await first.recv()
        async with site.notices(ticket) as second:
            assert await closed_with(second) == CloseCode.TICKET_USED
    now_us = site.clock.now_us()
    other_tickets = {
        site.office.ticket(exp=now_us // MICROSECONDS - 1): CloseCode.TICKET_EXPIRED,
        site.office.ticket(issued_at_us=now_us - 3600 * MICROSECONDS): CloseCode.TICKET_BEFORE_START,
        site.office.ticket(sub="op-ffffffffffffffff"): CloseCode.OPERATOR_NOT_NAMED,
        TicketOffice(site.clock).ticket(): CloseCode.TICKET_INVALID,
    }
    for other, code in other_tickets.items():
        async with site.notices(other) as refused:
            assert await closed_with(refused) == code


async def test_a_media_secret_opens_one_socket(site: Site) -> None:
    async with site.notices() as notices:
        secret = json.loads(await notices.recv())["media_secret"]
        async with site.media(secret) as media:
            await pictures(media, 1)
            async with site.media(secret) as second:
                assert await closed_with(second) == CloseCode.SECRET_REFUSED
            await pictures(media, 1)
    async with site.media("guessed") as guessed:
        assert await closed_with(guessed) == CloseCode.SECRET_REFUSED


async def test_the_end_of_either_socket_ends_the_other(site: Site) -> None:
    async with site.watching() as (notices, media):
        await pictures(media, 1)
        await media.close()
        assert await closed_with(notices) == CloseCode.CLOSED_BY_VIEWER
    async with site.watching() as (notices, media):
        await pictures(media, 1)
        notices.transport.abort()
        assert await closed_with(media) == CloseCode.CONNECTION_LOST


async def test_a_ticket_in_band_extends_the_view_and_another_operators_does_not(site: Site) -> None:
    soon_us = site.clock.now_us() + 2 * MICROSECONDS
    async with site.notices(site.office.ticket(view_until_us=soon_us)) as notices:
        hello = json.loads(await notices.recv())
        async with site.media(hello["media_secret"]) as media:
            await pictures(media, 1)
            for ticket, accepted in (
                (site.office.ticket(sub="op-ffffffffffffffff"), False),
                (site.office.ticket(), True),
            ):
                await notices.send(json.dumps({"type": "ticket", "ticket": ticket}))
                while (answer := json.loads(await notices.recv()))["type"] != "ticket":
                    continue
                assert answer["accepted"] is accepted
            while site.clock.now_us() < soon_us:
                await pictures(media, 1)
            await pictures(media, 20)


def sink(site: Site) -> socket.socket:
    """A socket that takes little before the relay has to wait."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.connect((site.addresses.public.host, site.addresses.public.port))
    connected.setblocking(False)
    return connected


async def test_a_viewer_who_does_not_read_holds_little_slows_nobody_and_is_cut_off(site: Site) -> None:
    site.lens.padding = HEAVY
    async with site.notices() as told, site.watching() as (_, quick):
        hello = json.loads(await told.recv())
        async with site.media(hello["media_secret"], sock=sink(site), max_queue=1) as stalled:
            await next_notice(told, "gap")  # it reads no media while it waits
            first = (await pictures(quick, 1))[0]
            assert await pictures(quick, 40) == list(range(first + 1, first + 41))
            await site.withdraw()
            await next_notice(told, "stopped")
            ended = await site.view_ended(hello["view_id"])
            assert ended.usage.bytes < 512 * 1024  # all that was ever handed to the kernel
            # A reset, not an end: the kernel has let go of what it still held for this viewer.
            assert isinstance((await broken_off(stalled)).__cause__, ConnectionResetError)


async def test_what_the_kernel_took_and_has_not_sent_at_a_stop_is_never_sent(site: Site) -> None:
    site.lens.padding = FILLING
    async with site.notices() as told, site.watching() as (_, quick):
        hello = json.loads(await told.recv())
        async with site.media(hello["media_secret"], sock=sink(site), max_queue=1) as slow:
            await next_notice(told, "started")
            await pictures(quick, 15)
            await site.withdraw()
            codes: list[str] = []
            while not codes or codes[-1] != "stopped":
                message = json.loads(await told.recv())
                codes += [message["code"]] if message["type"] == "notice" else []
            assert codes == ["stopped"]  # the kernel took every picture: none was held back for this viewer
            assert isinstance((await broken_off(slow)).__cause__, ConnectionResetError)


def read_to_end(viewer: socket.socket) -> None:
    """Read, and nothing else, until there is no more."""
    while viewer.recv(1 << 20):
        continue


async def test_a_discarded_connection_is_gone_before_the_loop_comes_round(socket_enabled: None) -> None:
    loop = asyncio.get_running_loop()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as viewer,
    ):
        accepted, _ = server.accept()
        protocol = RelayWebSocketProtocol(Config(FastAPI()), ServerState(), {}, loop)
        await loop.connect_accepted_socket(lambda: protocol, accepted)
        lost = asyncio.Event()
        protocol.on_lost = lost.set
        protocol.begin()
        while protocol.can_write:
            protocol.write(bytes(8192))
        protocol.end(CloseCode.GRANT_CLOSED, "grant_closed", 0.0)
        viewer.settimeout(5)
        with pytest.raises(ConnectionResetError):
            read_to_end(viewer)
        await lost.wait()


async def test_a_viewer_who_says_goodbye_without_reading_is_cut_off_at_once(site: Site) -> None:
    site.lens.padding = HEAVY
    async with site.notices() as told:
        hello = json.loads(await told.recv())
        async with site.media(hello["media_secret"], sock=sink(site), max_queue=1) as stalled:
            await next_notice(told, "gap")
            stalled.protocol.send_close(1000)
            stalled.transport.write(b"".join(stalled.protocol.data_to_send()))
            await site.view_ended(hello["view_id"])  # it still reads nothing
            assert isinstance((await broken_off(stalled)).__cause__, ConnectionResetError)


async def test_a_stopping_relay_tells_every_viewer(site: Site) -> None:
    async with site.watching() as (notices, media):
        await pictures(media, 1)
        site.service.on_stopping()
        assert (await next_notice(notices, "view_ended"))["reason"] == "relay_stopping"
        assert await closed_with(media) == CloseCode.RELAY_STOPPING


# Frame events over HTTP


async def sse(lines: AsyncIterator[str]) -> dict[str, str]:
    """The next message that is no comment."""
    fields: dict[str, str] = {}
    async for line in lines:
        if not line and fields:
            return fields
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
    raise AssertionError("the stream ended")


async def test_frame_events_come_over_http_and_resume_where_they_were_left(site: Site) -> None:
    token = site.issuer.mint("agency-system", ["system"])
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{site.addresses.public.origin}/relay/v1/events"
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        async with client.stream("GET", url, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = aiter(answer.aiter_lines())
            assert (await sse(lines)).keys() == {"id"}
            async with site.watching() as (_, media):
                await pictures(media, 25)
                events = [await sse(lines) for _ in range(3)]
        kinds = [event["event"] for event in events]
        assert "group_of_pictures" in kinds
        first = json.loads(events[0]["data"])
        event = FrameEvent.FromString(base64.b64decode(first["value"]))
        assert (first["key"], event.stream) == (STREAM, STREAM)
        assert first["json"]["event_id"] == event.event_id

        resumed = {**headers, "Last-Event-ID": events[0]["id"]}
        async with client.stream("GET", url, headers=resumed) as answer:
            lines = aiter(answer.aiter_lines())
            assert [(await sse(lines))["id"] for _ in range(3)] == [event["id"] for event in events]

        unknown = await client.get(url, headers={**headers, "Last-Event-ID": "no-position"})
        assert (unknown.status_code, unknown.json()["type"]) == (409, "urn:feedgate:problem:position-unknown")
        operator = {"Authorization": f"Bearer {site.issuer.mint('somebody', ['operator'])}"}
        assert (await client.get(url, headers=operator)).status_code == 403
        assert (await client.get(url)).status_code == 401


class Cut(httpx.AsyncHTTPTransport):
    """Breaks each connection to the event stream once its first message has come, as often as told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times
        self.broken = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if self.left == 0:
            return answer
        self.left -= 1
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=_FirstMessage(answer, self.broken)
        )


class _FirstMessage(httpx.AsyncByteStream):
    def __init__(self, answer: httpx.Response, broken: asyncio.Event) -> None:
        self._answer = answer
        self._broken = broken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = b""
        async for piece in self._answer.aiter_raw():
            seen += piece
            yield piece
            if seen.endswith(b"\n\n"):
                await self._answer.aclose()
                self._broken.set()
                raise httpx.ReadError("cut off")

    async def aclose(self) -> None:
        await self._answer.aclose()


async def test_a_connection_cut_before_its_first_event_loses_none(site: Site) -> None:
    log = site.bus.event_log(frame_events(AGENCY))
    wanted = [FrameEvent(event_id=f"event-{number}", stream=STREAM, grant_id="grant") for number in range(4)]

    async def append(*events: FrameEvent) -> None:
        for event in events:
            await log.append(Record(event.stream, event.SerializeToString()))

    await append(FrameEvent(event_id="before it came", stream=STREAM))
    transport = Cut(times=1)
    again = asyncio.Event()

    async def token() -> str:
        return site.issuer.mint("agency-system", ["system"])

    async def pause(_seconds: float) -> None:
        await again.wait()  # until what happened meanwhile is in the log

    async with httpx.AsyncClient(base_url=site.addresses.public.origin, transport=transport) as http:
        events = aiter(HttpFrameEvents(http, token, None, retries=2, pause=pause))
        first = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(10):
            await transport.broken.wait()
            await append(*wanted[:3])
            again.set()
            got = [await first, await anext(events), await anext(events)]
            await append(wanted[3])
            got.append(await anext(events))
    assert [event.event_id for event in got] == [event.event_id for event in wanted]


async def test_a_client_that_goes_away_leaves_no_reader_of_the_log(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = site.bus.event_log(frame_events(AGENCY))
    tails = 0
    closed = asyncio.Event()
    tail = log.tail

    async def counted(after: str | None) -> AsyncGenerator[StoredRecord, None]:
        nonlocal tails
        tails += 1
        try:
            async with aclosing(tail(after)) as records:
                async for record in records:
                    yield record
        finally:
            for _ in range(3):  # as a connection to Kafka takes its time to close
                await asyncio.sleep(0)
            tails -= 1
            closed.set()

    monkeypatch.setattr(log, "tail", counted)
    headers = {"Authorization": f"Bearer {site.issuer.mint('agency-system', ['system'])}"}
    url = f"{site.addresses.public.origin}/relay/v1/events"
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        async with client.stream("GET", url, headers=headers) as answer:
            await anext(answer.aiter_lines())
            assert tails == 1
            closed.clear()
        async with asyncio.timeout(10):
            await closed.wait()
    assert tails == 0


async def test_metrics_name_nobody(site: Site) -> None:
    async with site.watching() as (_, media):
        await pictures(media, 15)
        async with httpx.AsyncClient(trust_env=False) as client:
            page = (await client.get(f"{site.addresses.internal.origin}/metrics")).text
    assert 'relay_heartbeat_age_seconds{service="relay",topic="registry.camera.state.v1"}' in page
    assert 'relay_views_open{service="relay"} 1.0' in page
    for secret in (STREAM.partition("/")[0], AGENCY, "op-0123456789abcdef"):
        assert secret not in page
