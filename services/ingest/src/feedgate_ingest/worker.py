"""Keeps exactly the desired streams connected."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_ingest.access_unit import Stream
from feedgate_ingest.board import Board
from feedgate_ingest.demand import DemandTable
from feedgate_ingest.desired import Target, desired, is_stopped
from feedgate_ingest.feed_state import idle
from feedgate_ingest.pauses import Attempts, PausePlan
from feedgate_ingest.reasons import Reason
from feedgate_ingest.session import Session
from feedgate_kit.bus.ports import Share
from feedgate_kit.clock import Clock
from feedgate_kit.state_copy import StateCopy

TICK_S = 0.25
"""How late an ending of demand, freshness or membership may be noticed; everything else is noticed at once."""

PAST_COUNTS_S = 600.0
"""How long failed attempts are remembered of a stream that nobody demands."""

NewSession = Callable[[Target, Attempts], Session]


@dataclass(frozen=True, slots=True)
class _Kept:
    session: Session
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Past:
    """What outlives a session."""

    attempts: Attempts
    camera_version: int  # that the attempts were made under
    last_kept_at_s: float = 0.0  # monotonic
    is_erased: bool = False  # from the bus, or about to be


class NoShare:
    """What a worker has before its group has given it anything."""

    generation = 0

    def covers(self, key: str) -> bool:
        del key
        return False


class Worker:
    """One member of a pool's consumer group; a `Holder`.

    Of streams that are another member's it says nothing: that one does.
    """

    def __init__(
        self,
        *,
        pool: str,
        cameras: StateCopy[CameraState],
        new_session: NewSession,
        erase: Callable[[str], None],
        board: Board,
        clock: Clock,
        skew_us: int,
        plan: PausePlan | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            pool: whose cameras are this worker's.
            cameras: its own copy of the owners' will, fed by somebody else.
            new_session: makes the session of a target.
            erase: takes back what lies on the bus of a stream that was connected and is stopped.
            board: told why streams are not connected.
            clock: the worker's.
            skew_us: how far the publisher's clock may lie from this one.
            plan: of the pauses between a stream's runs.
        """
        self.pool = pool
        self.cameras = cameras
        self.demand = DemandTable()
        self.share: Share = NoShare()
        self.was_given = asyncio.Event()
        """Set at each new share, for whoever clears it."""
        self.was_replaced = asyncio.Event()
        self._new_session = new_session
        self._erase = erase
        self._board = board
        self._clock = clock
        self._skew_us = skew_us
        self._plan = plan or PausePlan()
        self._kept: dict[str, _Kept] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._past: dict[str, _Past] = {}
        self._told: set[str] = set()
        self._nudged = asyncio.Event()
        self._is_over = False

    @property
    def connected(self) -> Mapping[str, Target]:
        """The streams that have a session."""
        return {name: kept.session.target for name, kept in self._kept.items()}

    def has(self, stream: str) -> bool:
        """Whether a stream is this worker's to connect and to speak of."""
        return self.share.covers(Stream.parse(stream).camera_id)

    def owns(self, stream: str) -> bool:
        """Whether it is surely this worker's: the topics of feed states are every pool's."""
        state = self.cameras.get(Stream.parse(stream).camera_id)
        return state is not None and state.ingest_pool == self.pool and self.has(stream)

    def replaced(self) -> None:
        self.was_replaced.set()

    async def hold(self, share: Share) -> None:
        """Hang up what is no longer ours, and return when those connections are closed."""
        self.share = share
        self.settle()
        self.was_given.set()
        closing = [task for name, task in self._ending.items() if not self.has(name)]
        if closing:
            await asyncio.wait(closing)  # which leaves them be if this call is cancelled

    async def take_demand(self, message: StreamDemanded) -> None:
        """A relay spoke."""
        had_it = message.stream in self._kept
        self.demand.take(
            message.stream,
            message.relay_id,
            release=message.release,
            demanded_at_us=message.demanded_at.ToMicroseconds(),
            now_us=self._clock.now_us(),
            now_s=self._clock.monotonic_s(),
        )
        if message.release or not had_it:
            self.nudge()

    def nudge(self) -> None:
        """Something changed: settle soon."""
        self._nudged.set()

    async def run(self) -> None:
        """Settle at every change and every tick, until cancelled; then hang up everywhere."""
        try:
            while True:
                self.settle()
                try:
                    async with asyncio.timeout(TICK_S):
                        await self._nudged.wait()
                except TimeoutError:
                    pass  # a tick
                self._nudged.clear()
        finally:
            await self.close()

    def settle(self) -> None:
        """Begin and end sessions until they are those desired now."""
        if self._is_over:
            return
        now_s = self._clock.monotonic_s()
        self.demand.forget_old(now_s)
        demanded = self.demand.streams(now_s)
        wish = desired(
            demanded,
            self.cameras.get,
            self.share.covers,
            is_fresh=self.cameras.is_fresh(skew_us=self._skew_us),
            pool=self.pool,
        )
        for name, kept in list(self._kept.items()):
            target = wish.connected.get(name)
            if target is None or _is_another_run(target, kept.session.target):
                self._hang_up(name)
            else:
                kept.session.update(target)
        for name, target in wish.connected.items():
            if name not in self._kept and name not in self._ending:
                self._begin(name, target, now_s)
        self._erase_stopped()
        self._tell_why_idle(demanded, wish.withheld)
        self._forget_past(now_s)

    async def close(self) -> None:
        """Hang up everywhere for good, and return when every connection is closed."""
        self._is_over = True
        streams = list(self._kept)
        for name in streams:
            self._hang_up(name)
        await asyncio.gather(*self._ending.values(), return_exceptions=True)
        for name in filter(self.has, streams):
            self._board.say(idle(name, Reason.WORKER_ENDED, self._clock.now_us()))

    def _begin(self, name: str, target: Target, now_s: float) -> None:
        past = self._past.setdefault(name, _Past(Attempts(self._plan), target.camera_version))
        if past.camera_version != target.camera_version:
            # What the owner changed while nobody looked counts, too: a new password is tried at once.
            past.attempts.forget()
        past.last_kept_at_s = now_s
        past.is_erased = False
        session = self._new_session(target, past.attempts)
        self._kept[name] = _Kept(session, asyncio.create_task(session.keep(), name=f"session of {name}"))
        self._told.add(name)

    def _hang_up(self, name: str) -> None:
        kept = self._kept.pop(name)
        kept.session.hang_up()
        kept.task.cancel()
        self._past[name].camera_version = kept.session.target.camera_version
        self._ending[name] = kept.task
        kept.task.add_done_callback(lambda _: self._ended(name))

    def _ended(self, name: str) -> None:
        """A connection is closed; only now may the same camera be connected to again."""
        self._ending.pop(name, None)
        self.nudge()

    def _erase_stopped(self) -> None:
        """Whoever sees it first: a relay may have let go of the stream before its owner's stop was read here."""
        for name, past in self._past.items():
            if name in self._kept or past.is_erased:
                continue
            if is_stopped(self.cameras.get(Stream.parse(name).camera_id)):
                past.is_erased = True
                self._erase(name)

    def _tell_why_idle(self, demanded: Collection[str], withheld: Mapping[str, Reason]) -> None:
        others = {name for name in self._told if not self.has(name)}
        self._told -= others
        self._board.leave(others)
        for name, reason in withheld.items():
            # A camera never heard of may be another pool's, and is not ours to speak of.
            if reason is not Reason.CAMERA_UNKNOWN or name in self._told:
                self._told.add(name)
                self._board.say(idle(name, reason, self._clock.now_us()))
        for name in self._told - self._kept.keys() - withheld.keys() - self._ending.keys():
            if name not in demanded:
                self._board.say(idle(name, Reason.NOT_DEMANDED, self._clock.now_us()))
            self._told.discard(name)
            self._board.forget([name])

    def _forget_past(self, now_s: float) -> None:
        for name, past in list(self._past.items()):
            if name in self._kept:
                past.last_kept_at_s = now_s
            elif name not in self._ending and past.last_kept_at_s + PAST_COUNTS_S < now_s:
                del self._past[name]


def _is_another_run(target: Target, present: Target) -> bool:
    """Whether what every picture of a run repeats has changed."""
    return (target.pool_version, target.mask_version) != (present.pool_version, present.mask_version)
