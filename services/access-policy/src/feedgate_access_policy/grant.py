"""Leave for a named operator to watch one camera under one authorisation."""

from dataclasses import dataclass, replace

from feedgate_access_policy.question import GrantInForce
from feedgate_contracts.grant.v1 import grant_pb2
from feedgate_kit.timestamps import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One version of a grant. It only ever gets tighter, and a closed one stays closed."""

    grant_id: str
    version: int
    request_id: str
    camera_id: str
    authorisation_id: str
    agency: str
    operators: tuple[str, ...]  # pseudonyms
    approver: str  # pseudonym
    rendition: str
    conditions: tuple[str, ...]
    purpose: str
    basis_codes: tuple[str, ...]
    owner: str  # of the camera, keyed hash
    opens_at_us: int
    not_after_us: int
    created_at_us: int
    closed_reason: str = ""  # empty while open
    closed_at_us: int | None = None

    @property
    def is_open(self) -> bool:
        return not self.closed_reason

    @property
    def stream(self) -> str:
        return f"{self.camera_id}/{self.rendition}"

    def closed(self, reason: str, now_us: int) -> "Grant":
        """The next version, which shows nothing more."""
        return replace(self, version=self.version + 1, closed_reason=reason, closed_at_us=now_us)

    def tightened(self, not_after_us: int) -> "Grant":
        """The next version, which ends earlier."""
        return replace(self, version=self.version + 1, not_after_us=min(self.not_after_us, not_after_us))

    def in_force(self) -> GrantInForce:
        """What rules may ask of it."""
        return GrantInForce(
            is_open=self.is_open,
            closed_reason=self.closed_reason,
            operators=frozenset(self.operators),
            approver=self.approver or None,
            opens_at_us=self.opens_at_us,
            not_after_us=self.not_after_us,
        )

    def to_state(self) -> grant_pb2.GrantState:
        """The record for `access-policy.grant.state.v1`."""
        return grant_pb2.GrantState(
            grant_id=self.grant_id,
            version=self.version,
            request_id=self.request_id,
            camera_id=self.camera_id,
            authorisation_id=self.authorisation_id,
            agency=self.agency,
            operators=self.operators,
            rendition=self.rendition,
            conditions=self.conditions,
            purpose=self.purpose,
            basis_codes=self.basis_codes,
            opens_at=timestamp(self.opens_at_us),
            not_after=timestamp(self.not_after_us),
            phase=grant_pb2.GRANT_PHASE_OPEN if self.is_open else grant_pb2.GRANT_PHASE_CLOSED,
            closed_reason=self.closed_reason,
        )
