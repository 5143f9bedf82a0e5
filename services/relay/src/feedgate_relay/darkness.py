"""The proof that a view went dark: by the relay's last byte, and by its page's own word."""

from feedgate_contracts.audit.v1.audit_pb2 import Usage
from feedgate_contracts.frame.v1.frame_pb2 import NoticeCode
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_relay.audit_trail import ViewAudit
from feedgate_relay.delivery import Delivery
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.notices import wire_code


class Darkness:
    """What is known of one view's darkness, for the owner's ledger and for operations."""

    def __init__(self, delivery: Delivery, audit: ViewAudit, *, clock: Clock, metrics: RelayMetrics) -> None:
        self._delivery = delivery
        self._audit = audit
        self._clock = clock
        self._metrics = metrics
        self._expected: str | None = None
        self._expected_s = 0.0
        self._closing: tuple[int | None, int] | None = None  # commit and reading of the record that shuts it

    # The page.

    def expect(self, code: NoticeCode) -> None:
        """The page was told to cover, by this notice."""
        self._expected = wire_code(code)
        self._expected_s = self._clock.monotonic_s()

    def acknowledge(self, milliseconds: int, code: object) -> bool:
        """The page says that it has, this long after the notice `code`; whether that was the one expected.

        An earlier cover's word that crosses a stop proves nothing of the stop.
        """
        # One for each time the page was told to cover: a page cannot fill the audit log.
        if self._expected is None or code != self._expected:
            return False
        # It cannot have taken longer than until now.
        since_ms = round((self._clock.monotonic_s() - self._expected_s) * 1_000)
        self._audit.dark(min(milliseconds, since_ms), self._expected)
        self._expected = None
        self._metrics.dark_acknowledged.inc()
        return True

    # The relay.

    def record_read(self, committed_at_us: int | None) -> None:
        """A record was read that may shut a live view; `committed_at_us` is when it was, where that is known."""
        self._closing = (committed_at_us, self._clock.now_us())

    def record_settled(self, *, is_dark: bool) -> None:
        """That record has not ended the view; it may have covered it."""
        if is_dark:
            self._observe()
        self._closing = None

    def ended(self, usage: Usage, reason: str) -> None:
        """The view is over and nothing more of it reaches the kernel."""
        self._observe()
        self._audit.ended(usage, reason, self._delivery.last_byte_at_us)

    def _observe(self) -> None:
        if self._closing is None:
            return
        committed_at_us, closed_at_us = self._closing
        self._closing = None
        if committed_at_us is not None:
            dark_us = max(closed_at_us, self._delivery.last_byte_at_us)
            self._metrics.withdrawal_to_dark.observe(max(0, dark_us - committed_at_us) / MICROSECONDS)
