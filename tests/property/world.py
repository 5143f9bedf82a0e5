"""One camera, its owner, an agency and a relay in a world where everything can go wrong.

The parts that enforce are the real ones: registry's acts and tables, outbox and
publishers' turns on SQLite, state copies, windows, admission, hub, cache, queues
and views. What surrounds them is as hostile as the model's: ingest produces
pictures whenever it likes, access-policy grants whatever it likes, clocks lie
apart by up to the skew, and every hop may delay, repeat, lose or stand still.

A judge who knows the true time and every commit looks at each picture at the
moment its bytes are handed to a viewer's socket.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from prometheus_client import CollectorRegistry
from sqlalchemy import MetaData, select

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, SHARING_PAUSED, CameraState
from feedgate_contracts.grant.v1.grant_pb2 import GRANT_PHASE_CLOSED, GRANT_PHASE_OPEN, GrantState
from feedgate_kit.addresses import parse_rtsp_url
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.faulty import Fault, FaultyBus
from feedgate_kit.bus.record import HEARTBEAT_KEY, Record
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.ids import new_id, new_run
from feedgate_kit.outbox import Outbox, OutboxTables, outbox_tables
from feedgate_kit.publisher_lock import publisher_lock
from feedgate_kit.state_turns import StateTurns
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, GRANT_STATE
from feedgate_registry.acts import CameraDescription, OwnerActs
from feedgate_registry.authorisation import Authorisation, Scope
from feedgate_registry.camera import Place
from feedgate_registry.intake import SourceIntake
from feedgate_registry.pools import Pool
from feedgate_registry.tables import METADATA, OUTBOX
from feedgate_relay.admission import Limits
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.name import Name
from feedgate_relay.outgoing import Outgoing
from feedgate_relay.redemption import Redemptions
from feedgate_relay.states import States
from feedgate_relay.ticket import Ticket, TicketError
from feedgate_relay.view import View
from feedgate_relay.views import RefusedError, Views
from services.relay.tests.scene import Lens
from services.relay.tests.stage import RecordedConnection, split_frames

AGENCY, OTHER_AGENCY = "metro-police", "harbour-police"
OPERATOR = "op-0123456789abcdef"
PURPOSE = "investigate"
OWNER = "0f" * 32
HOUR_US = 3_600 * MICROSECONDS
STEP_S = 0.25

LIMITS = Limits(skew_us=500_000, stall_us=500_000)
SKEW_S = LIMITS.skew_us / MICROSECONDS
STALL_S = LIMITS.stall_us / MICROSECONDS
BOUND_US = LIMITS.fresh_us + LIMITS.skew_us
"""From a commit to the last picture that it forbids: 4 s + skew, model-checked."""

_MEDIA_HEADER = struct.Struct(">BBHIQ")
_PICTURE = 2
_ROOM_AFTER_CALLS = 60


class OffsetClock:
    """True time, and how far one host's wall clock is ahead of it."""

    def __init__(self, truth: SteppedClock) -> None:
        self.truth = truth
        self.ahead_us = 0

    def now_us(self) -> int:
        return self.truth.now_us() + self.ahead_us

    def monotonic_s(self) -> float:
        return self.truth.monotonic_s()


@dataclass(frozen=True)
class Committed:
    """A version of the owner's or the agency's record, and when it truly became true."""

    value: Any
    at_us: int
    opened_us: int  # when what it opens was truly opened last


@dataclass(frozen=True)
class Shot:
    """A picture as it truly was."""

    arrived_us: int  # when the camera's bytes reached ingest
    epoch: tuple[int, int]


@dataclass
class Judge:
    """Everything that must hold of a picture at the moment it is shown."""

    truth: SteppedClock
    cameras: list[Committed] = field(default_factory=list)
    grants: dict[str, list[Committed]] = field(default_factory=dict)
    shots: dict[int, Shot] = field(default_factory=dict)
    newest_epoch: tuple[int, int] = (0, 0)
    delivered: int = 0
    wrong: list[str] = field(default_factory=list)
    read_version: Callable[[str], int] = lambda topic: 0
    """The version of the camera's record that the relay goes by."""

    def look(self, sequence: int, view: "Viewing") -> None:
        """A picture is handed to a socket now."""
        self.delivered += 1
        now_us = self.truth.now_us()
        shot = self.shots[sequence]
        ticket = view.ticket
        grant = self._in_force(self.grants[ticket.grant_id], now_us)
        camera = self._in_force(self.cameras, now_us)
        granted = [
            one
            for one in grant
            if one.value.phase == GRANT_PHASE_OPEN and now_us < one.value.not_after.ToMicroseconds()
        ]
        allowed = [
            one
            for one in camera
            if any(self._permits(one.value, granting.value, now_us) for granting in granted)
        ]
        if not granted:
            self._report(f"picture {sequence} under a grant that is not open", now_us)
        elif not allowed:
            self._report(f"picture {sequence} against the owner's will", now_us)
        else:
            read = self.read_version(CAMERA_STATE)
            gone_by = [one for one in self.cameras if one.value.version == read] or allowed
            opened_us = max(gone_by[0].opened_us, granted[0].opened_us)
            if shot.arrived_us < opened_us:
                self._report(
                    f"picture {sequence} arrived {opened_us - shot.arrived_us} µs before the right", now_us
                )
        if now_us >= ticket.view_until_us:
            self._report(f"picture {sequence} after its ticket's end", now_us)
        if now_us - shot.arrived_us > LIMITS.max_age_us + LIMITS.skew_us + LIMITS.stall_us:
            self._report(
                f"picture {sequence} is {(now_us - shot.arrived_us) / MICROSECONDS:.2f} s old", now_us
            )
        if shot.epoch < self.newest_epoch:
            self._report(f"picture {sequence} of a worker that was replaced", now_us)
        self.newest_epoch = max(self.newest_epoch, shot.epoch)
        if view.stopped:
            self._report(f"picture {sequence} after `stopped`", now_us)

    def _in_force(self, versions: Sequence[Committed], now_us: int) -> list[Committed]:
        """The versions that were in force at some moment within the bound."""
        return [
            one
            for number, one in enumerate(versions)
            if number == len(versions) - 1 or versions[number + 1].at_us > now_us - BOUND_US
        ]

    @staticmethod
    def _permits(camera: CameraState, grant: GrantState, now_us: int) -> bool:
        return camera.sharing == SHARING_ON and any(
            terms.authorisation_id == grant.authorisation_id
            and grant.agency in terms.agencies
            and grant.purpose in terms.purposes
            and now_us < terms.expires_at.ToMicroseconds()
            for terms in camera.terms
        )

    def _report(self, what: str, now_us: int) -> None:
        self.wrong.append(f"at {now_us}: {what}")


class JudgedConnection(RecordedConnection):
    """A media socket at which the judge stands."""

    def __init__(self, clock: Any, judge: Judge, viewing: "Viewing") -> None:
        super().__init__(clock)
        self.judge = judge
        self.viewing = viewing

    def write(self, frame: bytes) -> None:
        if self.ended is None and not self.lost:
            for _, body in split_frames(frame):
                kind, _, _, sequence, _ = _MEDIA_HEADER.unpack_from(body)
                if kind == _PICTURE:
                    self.judge.look(sequence, self.viewing)
        super().write(frame)


@dataclass
class Viewing:
    """One operator's view."""

    ticket: Ticket
    notices: RecordedConnection
    media: JudgedConnection | None = None
    view: View | None = None

    @property
    def stopped(self) -> bool:
        return any(code == "stopped" for code in self.notices.codes())


class NoMail:
    """Hears what a publisher sent, and does not care."""

    def heartbeat_sent(self, as_of_us: int) -> None:
        pass

    def records_sent(self, count: int, *, again: bool) -> None:
        pass


class Publishing:
    """A service's publisher, stepped by hand; a failure ends it and the next step begins anew."""

    def __init__(
        self, database: Database, outbox: Outbox, bus: FaultyBus, clock: OffsetClock, topic: str
    ) -> None:
        self.database = database
        self.outbox = outbox
        self.bus = bus
        self.clock = clock
        self.topic = topic
        self.running = True
        self._turns: StateTurns | None = None

    async def turn(self) -> None:
        """One turn, and the ones that follow it because something was sent."""
        if not self.running:
            return
        try:
            async with publisher_lock(self.database, self.topic) as session:
                if self._turns is None:
                    self._turns = StateTurns(
                        database=self.database,
                        outbox=self.outbox,
                        log=self.bus.state_log(self.topic),
                        clock=self.clock,
                        topic=self.topic,
                        session=session,
                        is_owing=nothing_owed,
                        sent=NoMail(),
                    )
                while await self._turns.turn():
                    pass
        except* FeedgateError:
            await self.restart()

    async def restart(self) -> None:
        """Another process takes over and knows nothing."""
        if self._turns is not None:
            await self._turns.close()
        self._turns = None


async def nothing_owed() -> bool:
    return False


class World:
    """Everything, and the hands that move it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth = SteppedClock()
        self.clocks = {name: OffsetClock(self.truth) for name in ("registry", "policy", "ingest", "relay")}
        self.judge = Judge(self.truth)
        self.codes: Counter[str] = Counter()
        self.bus = EmbeddedBus(None, self.truth)
        self.takes_only_heartbeats = False
        self.publishers_bus = FaultyBus(self.bus, shared=True, schedule=self._fate)
        self.ingest_bus = FaultyBus(self.bus, shared=True)
        self.authorisations: list[Authorisation] = []
        self.grants: dict[str, GrantState] = {}
        self.viewings: list[Viewing] = []
        self.filming = True
        self.generation = 1

    async def start(self) -> None:
        """One camera, shared with nobody yet."""
        await self.bus.start()
        self.registry = Database(f"sqlite+aiosqlite:///{self.folder / 'registry.sqlite'}")
        async with self.registry.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        await self._make_owner()
        self.policy, self.policy_outbox = await self._make_policy()
        self.publishers = {
            CAMERA_STATE: Publishing(
                self.registry, self.acts.outbox, self.publishers_bus, self.clocks["registry"], CAMERA_STATE
            ),
            GRANT_STATE: Publishing(
                self.policy, self.policy_outbox, self.publishers_bus, self.clocks["policy"], GRANT_STATE
            ),
        }
        self.lens = self._new_lens(sequence=0)
        self.old_lens: Lens | None = None
        await self.start_relay()

    async def close(self) -> None:
        await self.stop_relay()
        for publishing in self.publishers.values():
            await publishing.restart()
        await self.bus.close()
        await self.registry.close()
        await self.policy.close()

    # Owner.

    async def authorise(self, *, lasts_s: float = 3_600.0) -> Authorisation:
        def scope_at(now_us: int) -> Scope:
            ends_us = now_us + round(lasts_s * MICROSECONDS)
            return Scope((OTHER_AGENCY, AGENCY), (PURPOSE, "prevent"), ("original",), None, ends_us)

        authorisation = await self.acts.authorise(OWNER, self.camera_id, scope_at, "standing")
        self.authorisations.append(authorisation)
        await self._note_camera(opens=True)
        return authorisation

    async def pause(self) -> None:
        await self.acts.pause(OWNER, self.camera_id)
        await self._note_camera()

    async def resume(self) -> None:
        await self.acts.resume(OWNER, self.camera_id)
        await self._note_camera(opens=True)

    async def withdraw(self, authorisation: Authorisation) -> None:
        await self.acts.withdraw(OWNER, authorisation.authorisation_id)
        await self._note_camera()

    async def narrow(self, authorisation: Authorisation) -> None:
        """Our agency may not look any more; the other one still may."""
        with suppress(FeedgateError):  # ended, or narrowed before
            await self.acts.narrow(
                OWNER, authorisation.authorisation_id, {"agencies": (OTHER_AGENCY,)}, lambda _: None
            )
        await self._note_camera()

    # Agency.

    async def grant(self, authorisation: Authorisation, *, lasts_s: float = 1_800.0) -> str:
        """Access-policy grants on whatever it believes; the relay must not depend on its being right."""
        now_us = self.clocks["policy"].now_us()
        grant = GrantState(
            grant_id=new_id(),
            version=1,
            camera_id=self.camera_id,
            authorisation_id=authorisation.authorisation_id,
            agency=AGENCY,
            operators=[OPERATOR],
            rendition="original",
            purpose=PURPOSE,
            phase=GRANT_PHASE_OPEN,
        )
        grant.opens_at.FromMicroseconds(now_us)
        grant.not_after.FromMicroseconds(now_us + round(lasts_s * MICROSECONDS))
        await self._commit_grant(grant, opens=True)
        return grant.grant_id

    async def close_grant(self, grant_id: str) -> None:
        closed = GrantState()
        closed.CopyFrom(self.grants[grant_id])
        if closed.phase == GRANT_PHASE_CLOSED:
            return
        closed.version += 1
        closed.phase = GRANT_PHASE_CLOSED
        closed.closed_reason = "ended_by_operator"
        await self._commit_grant(closed, opens=False)

    async def watch(self, grant_id: str, *, view_s: float = 1_200.0) -> Viewing | None:
        """An operator opens a view, if the relay lets them."""
        now_us = self.clocks["relay"].now_us()
        ticket = Ticket(
            ticket_id=new_id(),
            operator=OPERATOR,
            agency=AGENCY,
            grant_id=grant_id,
            camera_id=self.camera_id,
            stream=self.lens.stream,
            purpose=PURPOSE,
            issued_at_us=now_us,
            expires_at_us=now_us + 60 * MICROSECONDS,
            view_until_us=now_us + round(view_s * MICROSECONDS),
        )
        if self.states.grants.get(grant_id) is None:
            return None  # the relay would wait for the record, in real time
        viewing = Viewing(ticket, RecordedConnection(self.truth))
        viewing.media = JudgedConnection(self.truth, self.judge, viewing)
        try:
            viewing.view = await self.views.open(ticket, viewing.notices)
            secret = viewing.notices.messages()[0]["media_secret"]
            await self.views.open_media(self.views.claim(secret), viewing.media)
        except (RefusedError, TicketError) as refused:
            self.codes[f"refused:{refused.reason}"] += 1
            return None
        self.viewings.append(viewing)
        return viewing

    # Camera and ingest.

    def film(self, *, old_worker: bool = False, unread_s: float = 0.0) -> None:
        """A picture arrives at ingest and goes on its way.

        Args:
            old_worker: the worker that was replaced wakes up and sends one more.
            unread_s: how long it lay in the worker's socket before it was read.
        """
        lens = self.old_lens if old_worker and self.old_lens is not None else self.lens
        sequence = lens.sequence
        unit = lens.unit()
        self.judge.shots[sequence] = Shot(
            self.truth.now_us() - round(unread_s * MICROSECONDS),
            (unit.epoch.pool_version, unit.epoch.generation),
        )
        self.ingest_bus.media_feed(ACCESS_UNITS).offer(Record(lens.stream, unit.SerializeToString()))

    def new_run(self) -> None:
        """The camera came back: a new run of the same worker."""
        self.lens = self._new_lens(self.lens.sequence + 1_000)

    def replace_worker(self) -> None:
        """Another worker takes the camera over; the old one may still wake up."""
        self.old_lens = self.lens
        self.generation += 1
        self.lens = self._new_lens(self.lens.sequence + 1_000)

    # Relay.

    async def start_relay(self) -> None:
        clock = self.clocks["relay"]
        self.relay_bus = FaultyBus(self.bus, shared=True)
        metrics = RelayMetrics(CollectorRegistry())
        self.states = States(self.relay_bus, clock, LIMITS, metrics)
        self.judge.read_version = lambda _: self.states.cameras.version(self.camera_id)
        self.outgoing = Outgoing(self.relay_bus.event_log, metrics)
        self.redemptions = Redemptions(self.relay_bus, clock, Name("relay-1"))
        self.views = Views(
            bus=self.relay_bus,
            clock=clock,
            limits=LIMITS,
            states=self.states,
            outgoing=self.outgoing,
            redemptions=self.redemptions,
            metrics=metrics,
            media_path="/relay/v1/relays/relay-1/media",
            maximum=100,
        )
        self.tasks = [
            asyncio.create_task(task())
            for task in (
                self.states.follow_cameras,
                self.states.follow_grants,
                self.outgoing.run,
                self.redemptions.listen,
                self.redemptions.make_heard,
            )
        ]
        await self.settle()

    async def stop_relay(self) -> None:
        await self.views.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for viewing in self.viewings:
            self._count(viewing)
        self.viewings = []
        self.judge.newest_epoch = (0, 0)

    async def restart_relay(self) -> None:
        """It dies and comes back with nothing."""
        await self.stop_relay()
        await self.start_relay()

    # Time.

    async def pass_time(self, seconds: float) -> None:
        """Everything that runs goes on for so long."""
        while seconds > 0:
            step = min(seconds, STEP_S)
            seconds -= step
            self.truth.advance(step)
            self.views.check()
            await self.acts.record_expiries()
            await self._note_camera()
            for publishing in self.publishers.values():
                await publishing.turn()
            if self.filming:
                self.film()
                self.film()
            await self.settle()
            self.views.check()
            self._forget_ended()

    async def settle(self) -> None:
        """Let what is under way be read: the bus in memory needs turns of the loop, no time."""
        for _ in range(_ROOM_AFTER_CALLS):
            await asyncio.sleep(0)

    # Below their first use.

    def _fate(self, topic: str, record: Record) -> Fault | None:
        del topic
        return Fault.REFUSED if self.takes_only_heartbeats and record.key != HEARTBEAT_KEY else None

    async def _make_owner(self) -> None:
        key = X25519PrivateKey.generate()
        pool = Pool("site", "key-1", key.public_key(), (ip_network("192.0.2.0/24"),))
        self.acts = OwnerActs(
            database=self.registry,
            outbox=Outbox(OUTBOX, "registry", self.clocks["registry"]),
            clock=self.clocks["registry"],
            intake=SourceIntake(_NoNames(), []),
            pools={"site": pool},
            jurisdictions={"AR": None},
            most_authorisations=1_000,
            acted=lambda _: None,
        )
        await self.acts.open_account(OWNER, issuer="https://owners.example", subject="ana")
        description = CameraDescription("door", Place(-59.1, -37.3, 40.0, 90.0), "AR", "site")
        own = await self.acts.register_camera(OWNER, description, parse_rtsp_url("rtsp://192.0.2.7/live"))
        self.camera_id = own.camera.camera_id
        await self._note_camera(opens=True)

    async def _make_policy(self) -> tuple[Database, Outbox]:
        metadata = MetaData()
        tables: OutboxTables = outbox_tables(metadata)
        database = Database(f"sqlite+aiosqlite:///{self.folder / 'policy.sqlite'}")
        async with database.begin() as connection:
            await connection.run_sync(metadata.create_all)
        return database, Outbox(tables, "access-policy", self.clocks["policy"])

    async def _commit_grant(self, grant: GrantState, *, opens: bool) -> None:
        async with self.policy.begin() as connection:
            await self.policy_outbox.stage_state(
                connection, topic=GRANT_STATE, key=grant.grant_id, version=grant.version, message=grant
            )
        self.grants[grant.grant_id] = grant
        versions = self.judge.grants.setdefault(grant.grant_id, [])
        opened_us = self.truth.now_us() if opens else versions[-1].opened_us
        versions.append(Committed(grant, self.truth.now_us(), opened_us))

    async def _note_camera(self, *, opens: bool = False) -> None:
        """Tell the judge what was committed, from the database and not from what was asked for."""
        table = OUTBOX.state
        async with self.registry.read() as connection:
            newest = select(table.c.version, table.c.value).where(table.c.record_key == self.camera_id)
            row = (await connection.execute(newest.order_by(table.c.version.desc()).limit(1))).one()
        known = self.judge.cameras
        if known and known[-1].value.version == row.version:
            return
        now_us = self.truth.now_us()
        state = CameraState.FromString(bytes(row.value))
        opened_us = known[-1].opened_us if known else now_us
        resumed = bool(known) and known[-1].value.sharing == SHARING_PAUSED and state.sharing == SHARING_ON
        if resumed or (opens and not known):
            opened_us = now_us
        known.append(Committed(state, now_us, opened_us))

    def _new_lens(self, sequence: int) -> Lens:
        lens = Lens(
            self.clocks["ingest"],
            epoch=(1, self.generation),
            run=new_run(),
            mask_version=0,
            stream=f"{self.camera_id}/original",
            sequence=sequence,
        )
        return lens.skip_to_keyframe()

    def _forget_ended(self) -> None:
        for viewing in [one for one in self.viewings if one.view is not None and one.view.ended]:
            self._count(viewing)
            self.viewings.remove(viewing)

    def _count(self, viewing: Viewing) -> None:
        for code, reason in viewing.notices.notices():
            self.codes[f"{code}:{reason}" if reason else code] += 1


class _NoNames:
    async def addresses(self, host: str) -> Sequence[Any]:
        raise AssertionError(f"no name is asked for here; saw `{host}`")
