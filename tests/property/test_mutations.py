"""The judge sees what the model's mutations let through: each known way to show a withdrawn picture.

Every scenario runs twice: as the code is, where nothing is wrong, and with one
rule taken out, where the judge must report. A judge who is silent then would
prove nothing in the long runs of `test_enforcement`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import feedgate_relay.delivery
import feedgate_relay.states
from feedgate_kit.bus.faulty import Fault
from feedgate_kit.bus.record import Record
from feedgate_kit.state_copy import StateCopy
from feedgate_kit.state_turns import StateTurns
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE
from feedgate_relay.admission import Source, Vouched, admit
from feedgate_relay.delivery import Delivery
from feedgate_relay.newest import NewestSource
from feedgate_relay.windows import open_window
from tests.property.world import STALL_S, World

Scenario = Callable[[World], Awaitable[None]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.close()


async def watched(world: World) -> None:
    """One authorisation, one grant, one viewer who sees pictures."""
    grant_id = await world.grant(await world.authorise())
    await world.pass_time(1.0)
    assert await world.watch(grant_id) is not None
    await world.pass_time(3.0)
    assert world.judge.delivered > 0


# What happens.


async def broker_stands_still(world: World) -> None:
    """The owner withdraws while nothing more reaches the relay."""
    await watched(world)
    world.relay_bus.hold(CAMERA_STATE)
    await world.withdraw(world.authorisations[0])
    await world.pass_time(6.0)


async def predecessor_writes_late(world: World) -> None:
    """The record that says yes lands after the one that says no."""
    await watched(world)
    await world.pause()
    await world.pass_time(0.5)
    world.publishers_bus.fail_next(CAMERA_STATE, Fault.LATE)
    await world.resume()
    await world.pass_time(0.5)
    await world.withdraw(world.authorisations[0])
    await world.pass_time(1.0)
    await world.publishers_bus.land(CAMERA_STATE)
    await world.pass_time(6.0)
    await world.watch(next(iter(world.grants)))
    await world.pass_time(3.0)


async def viewer_does_not_read(world: World) -> None:
    """Pictures wait for a viewer's socket; then the relay hears nothing more, and the viewer reads on."""
    await watched(world)
    media = world.viewings[0].media
    assert media is not None
    media.block()
    await world.pass_time(0.5)
    world.relay_bus.hold(CAMERA_STATE)
    await world.withdraw(world.authorisations[0])
    for publishing in world.publishers.values():
        await publishing.turn()
    world.truth.advance(5.0)
    media.unblock()


async def picture_lay_in_the_camera(world: World) -> None:
    """What the camera sent during the pause is read, and stamped, just after the owner resumed."""
    await watched(world)
    await world.pause()
    world.filming = False
    await world.pass_time(1.0)
    await world.resume()
    await world.pass_time(STALL_S)
    world.new_run()
    for _ in range(12):
        world.film(unread_s=STALL_S + 0.2)
    await world.settle()


async def another_authorisation_is_given(world: World) -> None:
    """The one the grant rests on is withdrawn, another one is in force."""
    await watched(world)
    await world.authorise()
    await world.withdraw(world.authorisations[0])
    await world.pass_time(7.0)


async def replaced_worker_wakes_up(world: World) -> None:
    await watched(world)
    world.replace_worker()
    await world.pass_time(2.0)
    assert world.old_lens is not None
    world.old_lens.skip_to_keyframe()
    world.film(old_worker=True)
    await world.settle()


async def picture_comes_late(world: World) -> None:
    """It was under way for five seconds; the right still holds, but it is no live picture."""
    await watched(world)
    world.filming = False
    world.new_run()
    world.ingest_bus.fail_next(ACCESS_UNITS, Fault.LATE)
    world.film()
    await world.pass_time(5.0)
    await world.ingest_bus.land(ACCESS_UNITS)
    await world.settle()


async def outbox_is_behind(world: World) -> None:
    """The owner withdraws, and the broker takes no record, only heartbeats."""
    await watched(world)
    await world.withdraw(world.authorisations[0])
    world.takes_only_heartbeats = True
    await world.pass_time(7.0)


# Rules taken out.


@contextmanager
def no_freshness(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(feedgate_relay.delivery, "admit", _admit_with(vouched=_ALWAYS))
    monkeypatch.setattr(Vouched, "holds", lambda self, now_us, monotonic_s: True)
    yield


@contextmanager
def no_check_at_the_socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    flush = Delivery.flush

    def unchecked(self: Delivery) -> None:
        monkeypatch.setattr(Delivery, "_admits", lambda self, picture: True)
        flush(self)
        monkeypatch.setattr(Delivery, "_admits", _admits)

    monkeypatch.setattr(Delivery, "flush", unchecked)
    yield


@contextmanager
def no_margin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def without_margin(*arguments: Any, **named: Any) -> Any:
        window = open_window(*arguments, **named)
        return window if window.shut else replace(window, received_from_us=window.opens_at_us)

    monkeypatch.setattr(feedgate_relay.states, "open_window", without_margin)
    yield


@contextmanager
def trusts_the_grant_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def any_terms(camera: Any, grant: Any, *arguments: Any, **named: Any) -> Any:
        if camera is not None and camera.terms and grant is not None:
            grant = type(grant).FromString(grant.SerializeToString())
            grant.authorisation_id = camera.terms[0].authorisation_id
        return open_window(camera, grant, *arguments, **named)

    monkeypatch.setattr(feedgate_relay.states, "open_window", any_terms)
    yield


@contextmanager
def forgets_the_last_resume(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def as_if_never_paused(camera: Any, *arguments: Any, **named: Any) -> Any:
        if camera is not None:
            camera = type(camera).FromString(camera.SerializeToString())
            camera.resumed_at.FromMicroseconds(0)
        return open_window(camera, *arguments, **named)

    monkeypatch.setattr(feedgate_relay.states, "open_window", as_if_never_paused)
    yield


@contextmanager
def takes_any_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def observe(self: NewestSource, epoch: tuple[int, int], run: bytes, monotonic_s: float) -> Source:
        if self.source is None or (self.source.epoch, self.source.run) != (epoch, run):
            self.source = Source(epoch, run)
        return self.source

    monkeypatch.setattr(NewestSource, "observe", observe)
    yield


@contextmanager
def takes_any_age(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def ageless(picture: Any, *arguments: Any) -> bool:
        picture.shown_until_us = 1 << 62
        return admit(picture, *arguments)

    monkeypatch.setattr(feedgate_relay.delivery, "admit", ageless)
    yield


@contextmanager
def beats_whatever_the_outbox_holds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    honest = StateTurns.turn

    async def turn(self: StateTurns) -> bool:
        with suppress(ExceptionGroup):
            return await honest(self)
        await self._send_heartbeat(self.clock.now_us())
        return False

    monkeypatch.setattr(StateTurns, "turn", turn)
    yield


@contextmanager
def keeps_the_last_record(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """And nothing is read back, so that nobody sends the newest again."""
    apply = StateCopy.apply

    def last(self: StateCopy[Any], record: Record) -> str | None:
        self._entries.pop(record.key, None)
        return apply(self, record)

    async def nothing_stale(self: StateTurns) -> Sequence[Any]:
        return ()

    monkeypatch.setattr(StateCopy, "apply", last)
    monkeypatch.setattr(StateTurns, "_stale_rows", nothing_stale)
    yield


_ALWAYS = Vouched(0, 1 << 62, float("inf"))
_admits = Delivery._admits


def _admit_with(vouched: Vouched) -> Callable[..., bool]:
    def admit_anyway(picture: Any, newest: Any, window: Any, _: Any, now_us: int, monotonic_s: float) -> bool:
        return admit(picture, newest, window, vouched, now_us, monotonic_s)

    return admit_anyway


MUTATIONS: Collection[tuple[Scenario, Any]] = [
    (broker_stands_still, no_freshness),
    (viewer_does_not_read, no_check_at_the_socket),
    (picture_lay_in_the_camera, no_margin),
    (another_authorisation_is_given, trusts_the_grant_alone),
    (picture_lay_in_the_camera, forgets_the_last_resume),
    (replaced_worker_wakes_up, takes_any_worker),
    (picture_comes_late, takes_any_age),
    (outbox_is_behind, beats_whatever_the_outbox_holds),
    (predecessor_writes_late, keeps_the_last_record),
]


@pytest.mark.parametrize(
    ("scenario", "mutation"), MUTATIONS, ids=[mutation.__name__ for _, mutation in MUTATIONS]
)
@pytest.mark.parametrize("mutated", [False, True], ids=["as it is", "mutated"])
async def test_the_judge_sees_the_mutation_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, scenario: Scenario, mutation: Any, mutated: bool
) -> None:
    with mutation(monkeypatch) if mutated else nullcontext():
        await scenario(world)
    assert bool(world.judge.wrong) is mutated, world.judge.wrong
