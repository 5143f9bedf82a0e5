"""What this service leaves behind of every act, in the transaction of the act itself."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.adapters import decisions
from feedgate_access_policy.adapters.decisions import RecordedDecision
from feedgate_access_policy.decision_point import Answer
from feedgate_access_policy.filed_request import FiledRequest, Incident
from feedgate_access_policy.grant import Grant
from feedgate_access_policy.question import Person
from feedgate_contracts.audit.v1 import audit_pb2
from feedgate_contracts.decision.v1.decision_pb2 import DecisionMade
from feedgate_kit.ids import new_id
from feedgate_kit.outbox import Outbox
from feedgate_kit.timestamps import timestamp
from feedgate_kit.topics import DECISION_EVENTS, GRANT_STATE, audit_events

SERVICE: Final = "access-policy"
AUDIT_EVENTS: Final = audit_events(SERVICE)

_EVENTS: Final = {
    ("request", True): "request.submitted",
    ("request", False): "request.denied",
    ("approve", True): "request.approved",
    ("approve", False): "approval.denied",
    ("ticket", True): "ticket.issued",
    ("ticket", False): "ticket.refused",
    ("hold", True): "grant.tightened",
    ("hold", False): "grant.closed",
}

SYSTEM: Final = audit_pb2.Actor(pseudonym=SERVICE, role="system")


def actor(person: Person, role: str) -> audit_pb2.Actor:
    return audit_pb2.Actor(pseudonym=person.pseudonym, agency=person.agency, role=role)


class Trail:
    """Stages state, decisions and audit records."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def decision(
        self,
        connection: AsyncConnection,
        answer: Answer,
        request: FiledRequest,
        who: audit_pb2.Actor,
        *,
        grant_id: str = "",
        detail: dict[str, str] | None = None,
    ) -> None:
        """Record a decision, before anything that follows from it.

        The agency's file holds what the agency was told; the events hold the truth.
        """
        decision, told = answer.decision, answer.told
        await decisions.add(
            connection,
            RecordedDecision(
                decision_id=answer.decision_id,
                request_id=answer.request_id,
                grant_id=grant_id,
                camera_id=answer.camera_id,
                authorisation_id=answer.authorisation_id if told is decision else "",
                agency=request.agency,
                person=answer.person.pseudonym,
                action=answer.action,
                permitted=told.permitted,
                reasons=told.reasons,
                errors=told.errors,
                missing_evidence=told.missing_evidence,
                refused_bases=told.refused_bases,
                policy_version=told.policy_version,
                decided_at_us=answer.decided_at_us,
            ),
        )
        made = DecisionMade(
            decision_id=answer.decision_id,
            request_id=answer.request_id,
            grant_id=grant_id,
            camera_id=answer.camera_id,
            agency=request.agency,
            requester=answer.person.pseudonym,
            action=answer.action,
            permitted=decision.permitted,
            reasons=decision.reasons,
            errors=decision.errors,
            policy_version=decision.policy_version,
            decided_at=timestamp(answer.decided_at_us),
        )
        await self.outbox.stage_event(connection, topic=DECISION_EVENTS, key=answer.request_id, message=made)
        record = _about(
            _EVENTS[answer.action, decision.permitted], request, who, answer.camera_id, answer.decided_at_us
        )
        record.owner = "" if answer.camera is None else answer.camera.owner
        record.authorisation_id = answer.authorisation_id
        record.grant_id = grant_id
        record.reason = decision.reasons[0] if decision.reasons else ""
        record.outcome.CopyFrom(
            audit_pb2.Outcome(
                permitted=decision.permitted,
                reasons=decision.reasons,
                policy_version=decision.policy_version,
            )
        )
        record.detail["decision_id"] = answer.decision_id
        if answer.login.acr:
            record.detail["acr"] = answer.login.acr
        record.detail.update(detail or {})
        await self._stage_audit(connection, record)

    async def grant(self, connection: AsyncConnection, grant: Grant) -> None:
        """Stage the present version of a grant for the relays."""
        await self.outbox.stage_state(
            connection,
            topic=GRANT_STATE,
            key=grant.grant_id,
            version=grant.version,
            message=grant.to_state(),
        )

    async def grant_act(
        self,
        connection: AsyncConnection,
        event: str,
        grant: Grant,
        request: FiledRequest,
        who: audit_pb2.Actor,
        now_us: int,
        *,
        words: str = "",
    ) -> None:
        """Record what became of a grant where no decision point was asked."""
        record = _about(event, request, who, grant.camera_id, now_us)
        record.owner = grant.owner
        record.authorisation_id = grant.authorisation_id
        record.grant_id = grant.grant_id
        record.reason = grant.closed_reason
        if words:
            record.detail["words"] = words
        await self._stage_audit(connection, record)

    async def request_act(
        self,
        connection: AsyncConnection,
        event: str,
        request: FiledRequest,
        who: audit_pb2.Actor,
        owners: Sequence[tuple[str, str]],
        *,
        reason: str,
    ) -> None:
        """Record that a request was settled without being granted.

        Args:
            connection: with the caller's transaction.
            event: what happened.
            request: as settled.
            who: settled it.
            owners: each camera with its owner's keyed hash, empty where unknown.
            reason: reason code.
        """
        assert request.settled_at_us is not None
        for camera_id, owner in owners:
            record = _about(event, request, who, camera_id, request.settled_at_us)
            record.owner = owner
            record.reason = reason
            record.outcome.CopyFrom(audit_pb2.Outcome(permitted=False, reasons=[reason]))
            await self._stage_audit(connection, record)

    async def incident_recorded(
        self, connection: AsyncConnection, incident: Incident, who: audit_pb2.Actor
    ) -> None:
        record = audit_pb2.AuditRecord(
            record_id=new_id(),
            operation=audit_pb2.OPERATION_COLLECTION,
            event="incident.recorded",
            occurred_at=timestamp(incident.recorded_at_us),
            service=SERVICE,
            actor=who,
            detail={"incident_id": incident.incident_id},
        )
        await self._stage_audit(connection, record, incident.incident_id)

    async def cameras_searched(
        self,
        connection: AsyncConnection,
        incident: Incident,
        who: audit_pb2.Actor,
        now_us: int,
        *,
        radius_m: int,
        found: int,
    ) -> None:
        """Record that somebody was told which cameras lie around an incident."""
        record = audit_pb2.AuditRecord(
            record_id=new_id(),
            operation=audit_pb2.OPERATION_CONSULTATION,
            event="cameras.searched",
            occurred_at=timestamp(now_us),
            service=SERVICE,
            actor=who,
            detail={
                "incident_id": incident.incident_id,
                "radius_m": str(radius_m),
                "found": str(found),
            },
        )
        await self._stage_audit(connection, record, incident.incident_id)

    async def _stage_audit(
        self, connection: AsyncConnection, record: audit_pb2.AuditRecord, key: str | None = None
    ) -> None:
        await self.outbox.stage_event(
            connection, topic=AUDIT_EVENTS, key=key or record.camera_id, message=record
        )


def _about(
    event: str, request: FiledRequest, who: audit_pb2.Actor, camera_id: str, now_us: int
) -> audit_pb2.AuditRecord:
    return audit_pb2.AuditRecord(
        record_id=new_id(),
        operation=audit_pb2.OPERATION_DECISION,
        event=event,
        occurred_at=timestamp(now_us),
        service=SERVICE,
        actor=who,
        camera_id=camera_id,
        request_id=request.asked.request_id,
        justification=audit_pb2.Justification(
            purpose=request.asked.purpose,
            case_number=request.case_number,
            basis_codes=request.basis_codes,
        ),
    )
