"""What a Kafka group says of one of its members. aiokafka hears it, and tells nobody."""

from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.protocol.commit import OffsetCommitResponse_v2, OffsetCommitResponse_v3
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

from feedgate_kit.bus.kafka_settings import KafkaSettings
from feedgate_kit.clock import Clock
from feedgate_kit.errors import BusError

FORGOTTEN_AFTER_SESSIONS = 5
"""A consumer that its group has not counted for so many session timeouts is given up; whoever read it opens another.

aiokafka tries again by itself, for ever; but where one of its tasks has ended, the others wait for it, for ever, too.
"""

_STILL_A_MEMBER = (NoError.errno, RebalanceInProgressError.errno)
_UNKNOWN_MEMBER_ID = UnknownMemberIdError.errno
_FENCED_INSTANCE_ID = 82  # Kafka's protocol; aiokafka has no name for it


class Standing:
    """Until when the group counts this member, and whether its name is another's by now."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        settings: KafkaSettings,
        clock: Clock,
        on_replaced: Callable[[], None] | None = None,
    ) -> None:
        """Begin to watch a consumer that was started and has not subscribed yet.

        Args:
            consumer: whose group's answers.
            settings: its session timeout, and whether it has a name that outlives it.
            clock: of this host.
            on_replaced: called once, when another has this member's name.
        """
        self._session_s = settings.session_timeout_s
        self._clock = clock
        self._on_replaced = on_replaced if settings.member is not None else None
        self._counts_until_s = float("-inf")  # monotonic
        self._without_s = 0.0  # watched, since the group counted us
        self._checked_at_s = clock.monotonic_s()
        self._is_replaced = False
        self._watch(consumer._coordinator)  # noqa: SLF001 - what it hears is told nowhere else

    @property
    def counts(self) -> bool:
        """True only while the group cannot have forgotten us."""
        return self._clock.monotonic_s() < self._counts_until_s

    def check(self) -> None:
        """Whether waiting for the group still makes sense; to be asked all the time.

        Raises:
            BusError: it has not counted this member for `FORGOTTEN_AFTER_SESSIONS`.
        """
        now_s, patience_s = self._clock.monotonic_s(), FORGOTTEN_AFTER_SESSIONS * self._session_s
        # However long this process was frozen, one session of it counts: the group may yet answer.
        self._without_s += min(now_s - self._checked_at_s, self._session_s)
        self._checked_at_s = now_s
        if self._without_s > patience_s:
            raise BusError(f"the group has not counted this member for {patience_s:.0f} s")

    def close(self) -> None:
        """What is answered from now on is about a member that was closed here, by whoever has its name next."""
        self._on_replaced = None

    def _watch(self, coordinator: Any) -> None:
        """Note when the group last said that it counts us.

        The moment of the question counts, so ours ends no later than the group's.
        """
        ask = coordinator._send_req  # noqa: SLF001 - see above

        async def ask_and_note(request: Any) -> Any:
            if self._is_replaced:
                # aiokafka would join again by the name, and push out who has it now.
                raise GroupCoordinatorNotAvailableError
            asked_at_s, asked_as = self._clock.monotonic_s(), coordinator.member_id
            answer = await ask(request)
            codes = _codes_of(answer)
            # A commit may be asked while the member has no id, or answered when it has another by now; and
            # a member is unknown, too, where the group has forgotten it.
            is_of_us = asked_as and asked_as == coordinator.member_id
            is_unknown = is_of_us and self.counts and _UNKNOWN_MEMBER_ID in codes
            if is_unknown or _FENCED_INSTANCE_ID in codes:
                self._note_replaced()
            tells = isinstance(request, HeartbeatRequest | SyncGroupRequest)
            if tells and answer.error_code in _STILL_A_MEMBER:
                self._counts_until_s = asked_at_s + self._session_s
                self._without_s = 0.0
            return answer

        coordinator._send_req = ask_and_note  # noqa: SLF001 - see above

    def _note_replaced(self) -> None:
        if self._on_replaced is None:
            return
        self._is_replaced = True
        self._counts_until_s = float("-inf")
        self._on_replaced()


def _codes_of(answer: Any) -> set[int]:
    """The error codes of a coordinator's answer; one to a commit has one for each partition."""
    if isinstance(answer, OffsetCommitResponse_v2 | OffsetCommitResponse_v3):
        return {code for _, partitions in answer.topics for _, code in partitions}
    return {getattr(answer, "error_code", NoError.errno)}
