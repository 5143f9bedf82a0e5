"""What the audit log is told of views."""

from feedgate_contracts.audit.v1.audit_pb2 import (
    OPERATION_CONSULTATION,
    OPERATION_DISCLOSURE,
    Actor,
    AuditRecord,
    Justification,
    Outcome,
    Usage,
)
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import Clock
from feedgate_kit.ids import new_id
from feedgate_kit.topics import audit_events
from feedgate_relay.outgoing import Outgoing
from feedgate_relay.ticket import Ticket

TOPIC = audit_events("relay")
_KIND = "audit"


class ViewAudit:
    """The records of one view."""

    def __init__(
        self,
        *,
        view_id: str,
        ticket: Ticket,
        grant: GrantState | None,
        camera: CameraState | None,
        clock: Clock,
        outgoing: Outgoing,
    ) -> None:
        """Says nothing yet.

        Args:
            view_id: empty for a view that was refused.
            ticket: who looks.
            grant: why they may; None where it is not known.
            camera: whose camera it is, likewise.
            clock: stamps the records.
            outgoing: takes them.
        """
        self._clock = clock
        self._outgoing = outgoing
        self._started = False
        self._about = AuditRecord(
            service="relay",
            actor=Actor(pseudonym=ticket.operator, agency=ticket.agency, role="operator"),
            camera_id=ticket.camera_id,
            grant_id=ticket.grant_id,
            view_id=view_id,
            justification=Justification(purpose=ticket.purpose),
        )
        if camera is not None:
            self._about.owner = camera.owner
        if grant is not None:
            self._about.authorisation_id = grant.authorisation_id
            self._about.request_id = grant.request_id
            self._about.justification.basis_codes.extend(grant.basis_codes)

    async def started(self) -> None:
        """Return once the bus holds the record that this view began: pictures may follow.

        Raises:
            FeedgateError: it never will.
        """
        self._started = True
        record = self._record("view.started")
        record.operation = OPERATION_DISCLOSURE
        await self._outgoing.acknowledged(TOPIC, self._on_bus(record), kind=_KIND)

    def used(self, usage: Usage) -> None:
        record = self._record("view.usage")
        record.operation = OPERATION_CONSULTATION
        record.usage.CopyFrom(usage)
        self._send(record)

    def ended(self, usage: Usage, reason: str, dark_at_us: int) -> None:
        """The view is over.

        Args:
            usage: since it began.
            reason: why.
            dark_at_us: when the last byte of a picture was handed to the kernel; 0 if none was.
        """
        if not self._started:
            return  # nothing was recorded as begun, and nothing was shown
        record = self._record("view.ended")
        record.operation = OPERATION_DISCLOSURE
        record.usage.CopyFrom(usage)
        record.reason = reason
        if dark_at_us:
            record.dark_at.FromMicroseconds(dark_at_us)
        self._send(record)

    def dark(self, milliseconds: int, code: str) -> None:
        """The page says that it had covered its tile this long after the notice `code`."""
        record = self._record("view.dark")
        record.operation = OPERATION_CONSULTATION
        record.dark_ms = milliseconds
        record.reason = code
        self._send(record)

    def refused(self, reason: str) -> None:
        record = self._record("view.refused")
        record.operation = OPERATION_DISCLOSURE
        record.reason = reason
        record.outcome.CopyFrom(Outcome(permitted=False, reasons=[reason]))
        self._send(record)

    def _record(self, event: str) -> AuditRecord:
        record = AuditRecord()
        record.CopyFrom(self._about)
        record.record_id = new_id()
        record.event = event
        record.occurred_at.FromMicroseconds(self._clock.now_us())
        return record

    def _send(self, record: AuditRecord) -> None:
        self._outgoing.send(TOPIC, self._on_bus(record), kind=_KIND)

    def _on_bus(self, record: AuditRecord) -> Record:
        key = record.view_id or record.camera_id
        headers = headers_for(
            type="feedgate.audit.v1.AuditRecord", source="relay", subject=key, clock=self._clock
        )
        return Record(key, record.SerializeToString(), headers)
