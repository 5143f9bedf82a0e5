"""One row of the table of legal bases (legal.md 1.2)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from feedgate_access_policy.duration import duration_us

Side = Literal["disclose", "acquire", "safeguard", "forbid"]
Mode = Literal["live", "recorded", "event_only"]


def _a_duration(text: str) -> str:
    duration_us(text)
    return text


Duration = Annotated[str, AfterValidator(_a_duration)]


class LegalBasis(BaseModel):
    """A ground on which an owner may disclose, or the police acquire.

    Fields are those of the source rows, word for word; what only lawyers read
    (`retention`, `reporting`, ...) is carried and never computed with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    jurisdiction: str
    basis_code: str = Field(pattern=r"^[A-Z][A-Za-z0-9.\-]{2,63}$")
    side: Side
    use_when: str
    required_evidence: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]]
    approver: str
    max_live: str
    retention: str
    owner_notice: str
    reporting: str
    verified: str
    sources: list[str]
    allow_modes: list[Mode] | None = None
    live_with: list[str] = []
    live_initial: Duration | None = None
    live_ext: Duration | None = None
    live_cap: Duration | None = None
    live_law: Duration | None = None
    live_law_ext: Duration | None = None
    ds_notice: str | None = None
    posthoc_due: Duration | None = None
    review_due: Duration | None = None
    purge_due: Duration | None = None
    court_due: Duration | None = None
    breach_due: Duration | None = None
    prior_publication: Duration | None = None
    retention_max: Duration | None = None
    retention_unverified: bool = False
    log_retention: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _evidence_named_once(self) -> Self:
        if len(set(self.required_evidence)) != len(self.required_evidence):
            raise ValueError("required_evidence names a field twice")
        return self

    def live_us(self, initial_us: int) -> int:
        """How long a live view this row allows, microseconds; 0 for none.

        A row without `allow_modes` allows live for at most its `live_initial`,
        and no live if that is absent (legal.md 1.2).

        Args:
            initial_us: stands where the row allows live by name without a time.
        """
        if self.side not in {"disclose", "acquire"}:
            return 0
        if self.allow_modes is None and self.live_initial is None:
            return 0
        if self.allow_modes is not None and "live" not in self.allow_modes:
            return 0
        limits = [initial_us]
        limits += [
            duration_us(text)
            for text in (self.live_initial, self.live_law, self.live_cap)
            if text is not None
        ]
        return min(limits)
