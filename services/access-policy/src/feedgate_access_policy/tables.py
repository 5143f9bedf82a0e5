"""This service's tables. Each names the class that says how long its rows may be kept.

`retention` in a table's `info` is that class, of legal.md 4.4; no table is
without one (design section 2, 12). Nothing deletes rows yet: `docs/design/decisions.md`, "Not yet".
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from feedgate_kit.outbox import outbox_tables

METADATA = MetaData()

OUTBOX = outbox_tables(METADATA)

# The only place where a pseudonym leads back to a person.
PEOPLE = Table(
    "people",
    METADATA,
    Column("pseudonym", String(40), primary_key=True),
    Column("issuer", String(512), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("agency", String(48), nullable=False),
    Column("first_seen_at_us", BigInteger, nullable=False),
    info={"retention": "audit records"},
)

INCIDENTS = Table(
    "incidents",
    METADATA,
    Column("incident_id", String(36), primary_key=True),
    Column("agency", String(48), nullable=False),
    Column("number", String(64), nullable=False),
    Column("longitude", Double, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("occurred_at_us", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("recorded_by", String(40), ForeignKey("people.pseudonym"), nullable=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    info={"retention": "case rules"},
)

REQUESTS = Table(
    "requests",
    METADATA,
    Column("request_id", String(36), primary_key=True),
    Column("agency", String(48), nullable=False),
    Column("incident_id", String(36), ForeignKey("incidents.incident_id"), nullable=False),
    Column("requester", String(40), ForeignKey("people.pseudonym"), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("case_number", String(64), nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("until_us", BigInteger, nullable=False),
    Column("camera_ids", JSON, nullable=False),
    Column("bases", JSON, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("rendition", String(32), nullable=False),
    Column("necessity", Text, nullable=False),
    Column("proportionality", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("filed_at_us", BigInteger, nullable=False),
    Column("settled_by", String(40), nullable=False),
    Column("settled_at_us", BigInteger, nullable=True),
    Column("settled_reasons", Text, nullable=False),
    Index("requests_of_agency", "agency", "request_id"),
    Index("requests_by_end", "state", "until_us"),
    info={"retention": "case rules"},
)

# As the agency was told: of a camera that is not shared with it, no more than of one that does not
# exist. The audit record of the same decision id holds the truth.
DECISIONS = Table(
    "decisions",
    METADATA,
    Column("decision_id", String(36), primary_key=True),
    Column("request_id", String(36), ForeignKey("requests.request_id"), nullable=False),
    Column("grant_id", String(36), nullable=False),  # empty unless a grant was asked about or came of it
    Column("camera_id", String(36), nullable=False),
    Column("authorisation_id", String(36), nullable=False),  # empty where none is the agency's to know
    Column("agency", String(48), nullable=False),
    Column("person", String(40), nullable=False),
    Column("action", String(16), nullable=False),
    Column("permitted", Boolean, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("errors", JSON, nullable=False),
    Column("missing_evidence", JSON, nullable=False),
    Column("refused_bases", JSON, nullable=False),
    Column("policy_version", String(200), nullable=False),
    Column("decided_at_us", BigInteger, nullable=False),
    Index("decisions_of_request", "request_id", "decision_id"),
    info={"retention": "audit records"},
)

GRANTS = Table(
    "grants",
    METADATA,
    Column("grant_id", String(36), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("request_id", String(36), ForeignKey("requests.request_id"), nullable=False),
    Column("camera_id", String(36), nullable=False),
    Column("authorisation_id", String(36), nullable=False),
    Column("agency", String(48), nullable=False),
    Column("operators", JSON, nullable=False),
    Column("approver", String(40), ForeignKey("people.pseudonym"), nullable=False),
    Column("rendition", String(32), nullable=False),
    Column("conditions", JSON, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("basis_codes", JSON, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("opens_at_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("closed_reason", String(64), nullable=False),  # empty while open
    Column("closed_at_us", BigInteger, nullable=True),
    UniqueConstraint("request_id", "camera_id"),
    Index("grants_of_agency", "agency", "grant_id"),
    Index("grants_of_camera", "camera_id", "closed_reason"),
    Index("grants_by_end", "closed_reason", "not_after_us"),
    info={"retention": "case rules"},
)
