"""People, incidents, requests, decisions, grants and the outbox."""

import sqlalchemy as sa
from alembic import op

from feedgate_kit.outbox import create_outbox, drop_outbox

revision = "0001"
oldest = "0001"  # whose code can run on these tables; see `feedgate_kit.migration`
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("pseudonym", sa.String(40), primary_key=True),
        sa.Column("issuer", sa.String(512), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("agency", sa.String(48), nullable=False),
        sa.Column("first_seen_at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(36), primary_key=True),
        sa.Column("agency", sa.String(48), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("longitude", sa.Double, nullable=False),
        sa.Column("latitude", sa.Double, nullable=False),
        sa.Column("occurred_at_us", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("recorded_by", sa.String(40), sa.ForeignKey("people.pseudonym"), nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "requests",
        sa.Column("request_id", sa.String(36), primary_key=True),
        sa.Column("agency", sa.String(48), nullable=False),
        sa.Column("incident_id", sa.String(36), sa.ForeignKey("incidents.incident_id"), nullable=False),
        sa.Column("requester", sa.String(40), sa.ForeignKey("people.pseudonym"), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("case_number", sa.String(64), nullable=False),
        sa.Column("from_us", sa.BigInteger, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("camera_ids", sa.JSON, nullable=False),
        sa.Column("bases", sa.JSON, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("rendition", sa.String(32), nullable=False),
        sa.Column("necessity", sa.Text, nullable=False),
        sa.Column("proportionality", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("filed_at_us", sa.BigInteger, nullable=False),
        sa.Column("settled_by", sa.String(40), nullable=False),
        sa.Column("settled_at_us", sa.BigInteger, nullable=True),
        sa.Column("settled_reasons", sa.Text, nullable=False),
    )
    op.create_index("requests_of_agency", "requests", ["agency", "request_id"])
    op.create_index("requests_by_end", "requests", ["state", "until_us"])
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.String(36), primary_key=True),
        sa.Column("request_id", sa.String(36), sa.ForeignKey("requests.request_id"), nullable=False),
        sa.Column("grant_id", sa.String(36), nullable=False),
        sa.Column("camera_id", sa.String(36), nullable=False),
        sa.Column("authorisation_id", sa.String(36), nullable=False),
        sa.Column("agency", sa.String(48), nullable=False),
        sa.Column("person", sa.String(40), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("permitted", sa.Boolean, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("errors", sa.JSON, nullable=False),
        sa.Column("missing_evidence", sa.JSON, nullable=False),
        sa.Column("refused_bases", sa.JSON, nullable=False),
        sa.Column("policy_version", sa.String(200), nullable=False),
        sa.Column("decided_at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("decisions_of_request", "decisions", ["request_id", "decision_id"])
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.String(36), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.String(36), sa.ForeignKey("requests.request_id"), nullable=False),
        sa.Column("camera_id", sa.String(36), nullable=False),
        sa.Column("authorisation_id", sa.String(36), nullable=False),
        sa.Column("agency", sa.String(48), nullable=False),
        sa.Column("operators", sa.JSON, nullable=False),
        sa.Column("approver", sa.String(40), sa.ForeignKey("people.pseudonym"), nullable=False),
        sa.Column("rendition", sa.String(32), nullable=False),
        sa.Column("conditions", sa.JSON, nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("basis_codes", sa.JSON, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("opens_at_us", sa.BigInteger, nullable=False),
        sa.Column("not_after_us", sa.BigInteger, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("closed_reason", sa.String(64), nullable=False),
        sa.Column("closed_at_us", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("request_id", "camera_id"),
    )
    op.create_index("grants_of_agency", "grants", ["agency", "grant_id"])
    op.create_index("grants_of_camera", "grants", ["camera_id", "closed_reason"])
    op.create_index("grants_by_end", "grants", ["closed_reason", "not_after_us"])
    create_outbox(op)


def downgrade() -> None:
    drop_outbox(op)
    op.drop_table("grants")
    op.drop_table("decisions")
    op.drop_table("requests")
    op.drop_table("incidents")
    op.drop_table("people")
