"""What callers are told: the answers of this service's API."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from feedgate_access_policy.adapters.decisions import RecordedDecision
from feedgate_access_policy.cameras import NearbyCamera
from feedgate_access_policy.decision import Decision
from feedgate_access_policy.decision_point import Answer
from feedgate_access_policy.evidence import EvidenceValue
from feedgate_access_policy.filed_request import FiledRequest, Incident
from feedgate_access_policy.grant import Grant
from feedgate_access_policy.grant_desk import SignedTicket
from feedgate_access_policy.jurisdiction import Jurisdiction, Law
from feedgate_access_policy.legal_basis import LegalBasis
from feedgate_kit.clock import MICROSECONDS, to_datetime
from feedgate_kit.http import ApiModel, Moment


class PointAnswer(ApiModel):
    """A GeoJSON Point."""

    type: Literal["Point"] = "Point"
    coordinates: tuple[float, float]


class IncidentAnswer(ApiModel):
    """An incident."""

    id: str
    number: str
    place: PointAnswer
    occurred_at: Moment
    description: str
    recorded_by: str
    recorded_at: Moment


def incident_answer(incident: Incident) -> IncidentAnswer:
    return IncidentAnswer(
        id=incident.incident_id,
        number=incident.number,
        place=PointAnswer(coordinates=(incident.longitude, incident.latitude)),
        occurred_at=to_datetime(incident.occurred_at_us),
        description=incident.description,
        recorded_by=incident.recorded_by,
        recorded_at=to_datetime(incident.recorded_at_us),
    )


class CameraAnswer(ApiModel):
    """A camera near an incident, as finely as the asker's agency may know it."""

    camera_id: str
    place: PointAnswer
    place_precision: Literal["exact", "rounded"]
    bearing_degrees: float
    field_of_view_degrees: float
    distance_m: int
    jurisdiction: str
    sharing: Literal["on", "paused"]
    purposes: list[str]
    authorisations: list[str]


class NearbyCamerasAnswer(ApiModel):
    """The nearest cameras around an incident."""

    items: list[CameraAnswer]
    left_out: int
    """How many more share within the radius, all farther away; ask with a smaller one."""


def camera_answer(near: NearbyCamera, agency: str, now_us: int) -> CameraAnswer:
    terms = near.camera.terms_for(agency, now_us)
    return CameraAnswer(
        camera_id=near.camera.camera_id,
        place=PointAnswer(coordinates=near.place),
        place_precision="exact" if near.is_exact else "rounded",
        bearing_degrees=near.camera.bearing_degrees,
        field_of_view_degrees=near.camera.field_of_view_degrees,
        distance_m=near.distance_m,
        jurisdiction=near.camera.jurisdiction,
        sharing="paused" if near.camera.sharing == "paused" else "on",
        purposes=sorted({purpose for each in terms for purpose in each.purposes}),
        authorisations=[each.authorisation_id for each in terms],
    )


class BasisAnswer(ApiModel):
    """A row of the legal bases, and what it comes to here."""

    basis_code: str
    jurisdiction: str
    side: Literal["disclose", "acquire", "safeguard", "forbid"]
    use_when: str
    required_evidence: list[str]
    approver: str
    allow_modes: list[str] | None  # as the row has it; null: see `longest_live_s`
    live_with: list[str]
    longest_live_s: int  # 0: this basis carries no live view
    owner_notice: str
    reporting: str


class DocumentKindAnswer(ApiModel):
    """A typed document that may stand beside a basis's own evidence."""

    field: str
    meaning: str


class LegalBasesAnswer(ApiModel):
    """The law at one place."""

    jurisdiction: str
    packs: list[str]
    policy_version: str
    items: list[BasisAnswer]
    documents: list[DocumentKindAnswer]


def legal_bases_answer(place: Jurisdiction, law: Law) -> LegalBasesAnswer:
    return LegalBasesAnswer(
        jurisdiction=place.name,
        packs=list(place.chain),
        policy_version=place.version,
        items=[_basis_answer(basis, place) for basis in place.bases.values()],
        documents=[
            DocumentKindAnswer(field=kind, meaning=meaning) for kind, meaning in law.documents.items()
        ],
    )


def _basis_answer(basis: LegalBasis, place: Jurisdiction) -> BasisAnswer:
    return BasisAnswer(
        basis_code=basis.basis_code,
        jurisdiction=basis.jurisdiction,
        side=basis.side,
        use_when=basis.use_when,
        required_evidence=basis.required_evidence,
        approver=basis.approver,
        allow_modes=None if basis.allow_modes is None else list(basis.allow_modes),
        live_with=basis.live_with,
        longest_live_s=basis.live_us(place.limits.live_initial_us) // MICROSECONDS,
        owner_notice=basis.owner_notice,
        reporting=basis.reporting,
    )


class MissingEvidenceAnswer(ApiModel):
    """A field that a basis requires and that was not filled."""

    basis_code: str
    field: str


class RefusedBasisAnswer(ApiModel):
    """A basis that cannot carry the request."""

    basis_code: str
    reason: str


class CameraDecisionAnswer(ApiModel):
    """What was decided about one camera."""

    decision_id: str
    camera_id: str
    permitted: bool
    reasons: list[str]
    errors: list[str]
    missing_evidence: list[MissingEvidenceAnswer]
    refused_bases: list[RefusedBasisAnswer]
    policy_version: str


class DecisionAnswer(ApiModel):
    """What was decided about a request: permitted only if every camera is."""

    permitted: bool
    reasons: list[str]
    errors: list[str]
    missing_evidence: list[MissingEvidenceAnswer]
    refused_bases: list[RefusedBasisAnswer]
    policy_version: str
    cameras: list[CameraDecisionAnswer]


def decision_answer(answers: Sequence[Answer]) -> DecisionAnswer:
    """What the asker's agency may know of it."""
    decisions = [answer.told for answer in answers]
    return DecisionAnswer(
        permitted=all(decision.permitted for decision in decisions),
        reasons=_once([reason for decision in decisions for reason in decision.reasons]),
        errors=_once([error for decision in decisions for error in decision.errors]),
        missing_evidence=_missing(decisions),
        refused_bases=_refused(decisions),
        policy_version=";".join(_once([decision.policy_version for decision in decisions])),
        cameras=[
            CameraDecisionAnswer(
                decision_id=answer.decision_id,
                camera_id=answer.camera_id,
                permitted=answer.told.permitted,
                reasons=list(answer.told.reasons),
                errors=list(answer.told.errors),
                missing_evidence=_missing([answer.told]),
                refused_bases=_refused([answer.told]),
                policy_version=answer.told.policy_version,
            )
            for answer in answers
        ],
    )


def _once(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _missing(decisions: Sequence[Decision | RecordedDecision]) -> list[MissingEvidenceAnswer]:
    named = dict.fromkeys(each for decision in decisions for each in decision.missing_evidence)
    return [MissingEvidenceAnswer(basis_code=each.basis_code, field=each.field) for each in named]


def _refused(decisions: Sequence[Decision | RecordedDecision]) -> list[RefusedBasisAnswer]:
    named = dict.fromkeys(each for decision in decisions for each in decision.refused_bases)
    return [RefusedBasisAnswer(basis_code=each.basis_code, reason=each.reason) for each in named]


class RecordedDecisionAnswer(ApiModel):
    """A decision as it lies in the agency's file."""

    id: str
    request_id: str
    grant_id: str | None
    camera_id: str
    authorisation_id: str | None
    agency: str
    person: str
    action: Literal["request", "approve", "ticket", "hold"]
    permitted: bool
    reasons: list[str]
    errors: list[str]
    missing_evidence: list[MissingEvidenceAnswer]
    refused_bases: list[RefusedBasisAnswer]
    policy_version: str
    decided_at: Moment


def recorded_decision_answer(decision: RecordedDecision) -> RecordedDecisionAnswer:
    return RecordedDecisionAnswer(
        id=decision.decision_id,
        request_id=decision.request_id,
        grant_id=decision.grant_id or None,
        camera_id=decision.camera_id,
        authorisation_id=decision.authorisation_id or None,
        agency=decision.agency,
        person=decision.person,
        action=decision.action,
        permitted=decision.permitted,
        reasons=list(decision.reasons),
        errors=list(decision.errors),
        missing_evidence=_missing([decision]),
        refused_bases=_refused([decision]),
        policy_version=decision.policy_version,
        decided_at=to_datetime(decision.decided_at_us),
    )


class GrantAnswer(ApiModel):
    """Leave to watch one camera."""

    id: str
    version: int
    request_id: str
    camera_id: str
    authorisation_id: str
    stream: str
    operators: list[str]
    names_you: bool
    approver: str
    purpose: str
    basis_codes: list[str]
    rendition: str
    conditions: list[str]
    opens_at: Moment
    not_after: Moment
    phase: Literal["open", "closed"]
    closed_reason: str | None
    closed_at: Moment | None


def grant_answer(grant: Grant, asker: str) -> GrantAnswer:
    return GrantAnswer(
        id=grant.grant_id,
        version=grant.version,
        request_id=grant.request_id,
        camera_id=grant.camera_id,
        authorisation_id=grant.authorisation_id,
        stream=grant.stream,
        operators=list(grant.operators),
        names_you=asker in grant.operators,
        approver=grant.approver,
        purpose=grant.purpose,
        basis_codes=list(grant.basis_codes),
        rendition=grant.rendition,
        conditions=list(grant.conditions),
        opens_at=to_datetime(grant.opens_at_us),
        not_after=to_datetime(grant.not_after_us),
        phase="open" if grant.is_open else "closed",
        closed_reason=grant.closed_reason or None,
        closed_at=None if grant.closed_at_us is None else to_datetime(grant.closed_at_us),
    )


class DocumentAnswer(ApiModel):
    """A paper by reference."""

    ref: str
    issued_by: str
    issued_at: Moment
    sha256: str | None


class NamedBasisAnswer(ApiModel):
    """A basis as it was invoked."""

    basis_code: str
    evidence: dict[str, str | DocumentAnswer]


class WindowAnswer(ApiModel):
    """From when until when."""

    not_before: Moment
    not_after: Moment


class RequestAnswer(ApiModel):
    """A request, and what came of it."""

    id: str
    state: Literal["pending_approval", "denied", "approved", "refused", "expired"]
    incident_id: str
    requester: str
    requested_by_you: bool
    purpose: str
    case_number: str
    camera_ids: list[str]
    window: WindowAnswer
    bases: list[NamedBasisAnswer]
    necessity: str
    proportionality: str | None
    filed_at: Moment
    settled_by: str | None
    settled_at: Moment | None
    settled_reasons: str | None
    decision: DecisionAnswer | None = None  # of this call
    grants: list[GrantAnswer] = Field(default_factory=list)


def request_answer(
    request: FiledRequest,
    asker: str,
    *,
    answers: Sequence[Answer] = (),
    grants: Sequence[Grant] = (),
) -> RequestAnswer:
    asked = request.asked
    return RequestAnswer(
        id=asked.request_id,
        state=request.state,
        incident_id=request.incident_id,
        requester=asked.requester.pseudonym,
        requested_by_you=asked.requester.pseudonym == asker,
        purpose=asked.purpose,
        case_number=request.case_number,
        camera_ids=list(request.camera_ids),
        window=WindowAnswer(not_before=to_datetime(asked.from_us), not_after=to_datetime(asked.until_us)),
        bases=[
            NamedBasisAnswer(
                basis_code=named.basis_code,
                evidence={field: _evidence_answer(value) for field, value in named.evidence.items()},
            )
            for named in asked.bases
        ],
        necessity=request.necessity,
        proportionality=request.proportionality or None,
        filed_at=to_datetime(request.filed_at_us),
        settled_by=request.settled_by or None,
        settled_at=None if request.settled_at_us is None else to_datetime(request.settled_at_us),
        settled_reasons=request.settled_reasons or None,
        decision=decision_answer(answers) if answers else None,
        grants=[grant_answer(grant, asker) for grant in grants],
    )


def _evidence_answer(value: EvidenceValue) -> str | DocumentAnswer:
    if isinstance(value, str):
        return value
    return DocumentAnswer(
        ref=value.ref,
        issued_by=value.issued_by,
        issued_at=to_datetime(value.issued_at_us),
        sha256=value.sha256,
    )


class TicketAnswer(ApiModel):
    """The key to one view, and where it fits."""

    ticket: str
    expires_at: Moment
    view_until: Moment
    stream: str
    notices_url: str


def ticket_answer(signed: SignedTicket) -> TicketAnswer:
    return TicketAnswer(
        ticket=signed.text,
        expires_at=to_datetime(signed.ticket.expires_at_s * MICROSECONDS),
        view_until=to_datetime(signed.ticket.view_until_us),
        stream=signed.ticket.stream,
        notices_url="/relay/v1/notices",
    )
