"""Owners, cameras, authorisations and the outbox."""

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
        "owners",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("issuer", sa.String(512), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cameras",
        sa.Column("camera_id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.String(64), sa.ForeignKey("owners.owner"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("longitude", sa.Double, nullable=False),
        sa.Column("latitude", sa.Double, nullable=False),
        sa.Column("bearing_degrees", sa.Double, nullable=False),
        sa.Column("field_of_view_degrees", sa.Double, nullable=False),
        sa.Column("jurisdiction", sa.String(20), nullable=False),
        sa.Column("ingest_pool", sa.String(63), nullable=False),
        sa.Column("pool_version", sa.BigInteger, nullable=False),
        sa.Column("source_version", sa.Integer, nullable=False),
        sa.Column("source_key_id", sa.String(64), nullable=False),
        sa.Column("source_set_at_us", sa.BigInteger, nullable=False),
        sa.Column("sealed_source", sa.LargeBinary, nullable=True),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("resumed_at_us", sa.BigInteger, nullable=False),
        sa.Column("paused_at_us", sa.BigInteger, nullable=True),
        sa.Column("removed_at_us", sa.BigInteger, nullable=True),
    )
    op.create_index("cameras_of_owner", "cameras", ["owner", "camera_id"])
    op.create_table(
        "authorisations",
        sa.Column("authorisation_id", sa.String(36), primary_key=True),
        sa.Column("camera_id", sa.String(36), sa.ForeignKey("cameras.camera_id"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("agencies", sa.JSON, nullable=False),
        sa.Column("purposes", sa.JSON, nullable=False),
        sa.Column("renditions", sa.JSON, nullable=False),
        sa.Column("schedule", sa.JSON, nullable=True),
        sa.Column("approval_mode", sa.String(32), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger, nullable=False),
        sa.Column("given_at_us", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_at_us", sa.BigInteger, nullable=True),
        sa.Column("expired_at_us", sa.BigInteger, nullable=True),
    )
    op.create_index("authorisations_of_camera", "authorisations", ["camera_id", "authorisation_id"])
    still_open = sa.text("withdrawn_at_us IS NULL AND expired_at_us IS NULL")
    op.create_index(
        "authorisations_to_expire",
        "authorisations",
        ["expires_at_us"],
        postgresql_where=still_open,
        sqlite_where=still_open,
    )
    create_outbox(op)


def downgrade() -> None:
    drop_outbox(op)
    op.drop_table("authorisations")
    op.drop_table("cameras")
    op.drop_table("owners")
