"""What is concluded from a group's answers; they are scripted, for the broker gives them in no order of a test's."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.group import HeartbeatRequest

from feedgate_kit.bus.kafka_settings import KafkaSettings
from feedgate_kit.bus.kafka_standing import FORGOTTEN_AFTER_SESSIONS, Standing
from feedgate_kit.errors import BusError
from feedgate_kit.stepped_clock import SteppedClock

FINE, UNKNOWN, REBALANCING, FENCED = 0, 25, 27, 82
SETTINGS = KafkaSettings(bootstrap="", member="north")
SESSION_S = SETTINGS.session_timeout_s
POLL_S = 0.5


@dataclass
class Group:
    """Answers a member's heartbeats, and counts how often its name was said to be another's."""

    settings: KafkaSettings = SETTINGS
    clock: SteppedClock = field(default_factory=SteppedClock)
    replaced: int = 0

    def __post_init__(self) -> None:
        self.coordinator = SimpleNamespace(member_id="id-1", _send_req=self._answer)
        self.code, self.id_at_answer = FINE, "id-1"
        self.standing = Standing(
            SimpleNamespace(_coordinator=self.coordinator), self.settings, self.clock, self._on_replaced
        )

    async def heartbeat(self, code: int, *, asked_as: str = "id-1", id_at_answer: str | None = None) -> None:
        self.coordinator.member_id = asked_as
        self.code, self.id_at_answer = code, asked_as if id_at_answer is None else id_at_answer
        await self.coordinator._send_req(HeartbeatRequest("ingest", 1, asked_as))

    async def _answer(self, _: Any) -> Any:
        self.coordinator.member_id = self.id_at_answer
        return SimpleNamespace(error_code=self.code)

    def _on_replaced(self) -> None:
        self.replaced += 1


@pytest.fixture
async def group() -> Group:
    """One that counts its member now."""
    group = Group()
    await group.heartbeat(FINE)
    return group


async def test_an_answer_counts_from_its_question_for_one_session(group: Group) -> None:
    group.clock.advance(SESSION_S - 0.1)
    assert group.standing.counts
    group.clock.advance(0.1)
    assert not group.standing.counts
    await group.heartbeat(REBALANCING)
    assert group.standing.counts


@pytest.mark.parametrize(
    ("code", "asked_as", "id_at_answer", "is_replaced"),
    [
        pytest.param(UNKNOWN, "id-1", "id-1", True, id="unknown by the id it has"),
        pytest.param(UNKNOWN, "", "", False, id="unknown without an id"),
        pytest.param(UNKNOWN, "id-1", "id-2", False, id="unknown by an id it had"),
        pytest.param(UNKNOWN, "id-1", "", False, id="unknown by an id it lost"),
        pytest.param(FENCED, "", "", True, id="fenced while it joins"),
        pytest.param(REBALANCING, "id-1", "id-1", False, id="rebalancing"),
    ],
)
async def test_what_says_that_the_name_is_anothers(
    group: Group, code: int, asked_as: str, id_at_answer: str, is_replaced: bool
) -> None:
    await group.heartbeat(code, asked_as=asked_as, id_at_answer=id_at_answer)
    assert group.replaced == is_replaced
    assert group.standing.counts != is_replaced


async def test_who_was_replaced_asks_nothing_more_by_that_name(group: Group) -> None:
    await group.heartbeat(UNKNOWN)
    with pytest.raises(GroupCoordinatorNotAvailableError):
        await group.heartbeat(FINE)
    assert (group.replaced, group.standing.counts) == (1, False)


async def test_one_that_may_have_been_forgotten_is_not_replaced(group: Group) -> None:
    group.clock.advance(SESSION_S)
    await group.heartbeat(UNKNOWN)
    assert group.replaced == 0


async def test_one_without_a_name_is_never_replaced() -> None:
    group = Group(KafkaSettings(bootstrap=""))
    await group.heartbeat(FINE)
    await group.heartbeat(UNKNOWN)
    assert group.replaced == 0


def poll(group: Group, seconds: float) -> None:
    """Ask as a reader does."""
    for _ in range(round(seconds / POLL_S)):
        group.clock.advance(POLL_S)
        group.standing.check()


async def test_one_that_is_counted_by_nobody_is_given_up(group: Group) -> None:
    poll(group, FORGOTTEN_AFTER_SESSIONS * SESSION_S)
    with pytest.raises(BusError, match="has not counted this member for 30 s"):
        poll(group, POLL_S)


async def test_one_that_was_never_counted_is_given_up_too() -> None:
    group = Group()
    poll(group, FORGOTTEN_AFTER_SESSIONS * SESSION_S)
    with pytest.raises(BusError):
        poll(group, POLL_S)


async def test_one_that_is_asked_about_now_and_then_is_given_up_all_the_same(group: Group) -> None:
    """As by a reader whose every commit is waited for in vain."""

    def ask() -> None:
        for _ in range(2 * FORGOTTEN_AFTER_SESSIONS):
            group.clock.advance(SESSION_S + POLL_S)
            group.standing.check()

    with pytest.raises(BusError):
        ask()


async def test_a_closed_one_is_replaced_by_its_own_successor(group: Group) -> None:
    group.standing.close()
    await group.heartbeat(UNKNOWN)
    await group.heartbeat(FENCED)
    assert group.replaced == 0


async def test_one_that_was_never_counted_hears_that_its_name_is_anothers() -> None:
    group = Group()
    await group.heartbeat(FENCED, asked_as="")
    assert group.replaced == 1


async def test_one_that_was_frozen_has_a_session_to_be_counted_again(group: Group) -> None:
    group.clock.advance(3_600)
    group.standing.check()
    poll(group, SESSION_S - POLL_S)
    await group.heartbeat(FINE)
    poll(group, FORGOTTEN_AFTER_SESSIONS * SESSION_S - POLL_S)
