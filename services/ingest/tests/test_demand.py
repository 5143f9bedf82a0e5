"""A stream is demanded while some relay said so in the last six seconds."""

from feedgate_ingest.demand import DemandTable
from feedgate_kit.clock import MICROSECONDS

NOW_US = 1_800_000_000 * MICROSECONDS


class Relays:
    """Relays that speak at seconds after a start, on equal clocks."""

    def __init__(self) -> None:
        self.table = DemandTable()

    def say(
        self, at_s: float, relay: str = "a", *, release: bool = False, said_s: float | None = None
    ) -> None:
        self.table.take(
            "cam/original",
            relay,
            release=release,
            demanded_at_us=NOW_US + round((at_s if said_s is None else said_s) * MICROSECONDS),
            now_us=NOW_US + round(at_s * MICROSECONDS),
            now_s=at_s,
        )

    def is_demanded(self, at_s: float) -> bool:
        return "cam/original" in self.table.streams(at_s)


def test_a_demand_holds_for_six_seconds() -> None:
    relays = Relays()
    relays.say(0)
    assert relays.is_demanded(5.99)
    assert not relays.is_demanded(6)


def test_repeating_a_demand_prolongs_it() -> None:
    relays = Relays()
    relays.say(0)
    relays.say(4)
    assert relays.is_demanded(9.9)


def test_a_release_ends_it_at_once() -> None:
    relays = Relays()
    relays.say(0)
    relays.say(1, release=True)
    assert not relays.is_demanded(1)


def test_one_relays_release_leaves_anothers_demand() -> None:
    relays = Relays()
    relays.say(0, "a")
    relays.say(0, "b")
    relays.say(1, "a", release=True)
    assert relays.is_demanded(5)
    assert not relays.is_demanded(6)


def test_a_demand_counts_from_when_it_was_said_not_from_when_it_was_read() -> None:
    relays = Relays()
    relays.say(5, said_s=0)
    assert relays.is_demanded(5.9)
    assert not relays.is_demanded(6)


def test_a_backlog_connects_nothing() -> None:
    relays = Relays()
    relays.say(100, said_s=10)
    assert not relays.is_demanded(100)


def test_a_relay_whose_clock_is_ahead_gains_nothing() -> None:
    relays = Relays()
    relays.say(0, said_s=3600)
    assert not relays.is_demanded(6)


def test_a_demand_that_comes_again_after_its_release_is_old_news() -> None:
    relays = Relays()
    relays.say(0)
    relays.say(1, release=True)
    relays.say(1.1, said_s=0)
    assert not relays.is_demanded(1.1)


def test_what_ended_long_ago_takes_no_memory() -> None:
    relays = Relays()
    relays.say(0)
    relays.table.forget_old(11.9)
    assert relays.is_demanded(1)
    relays.table.forget_old(12.1)
    assert not relays.is_demanded(1)
