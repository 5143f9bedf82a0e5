"""The hash-chained table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
oldest = "0001"  # whose code can run on these tables; see `feedgate_kit.migration`
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("record_id", sa.String(60), nullable=False, unique=True),
        sa.Column("event", sa.String(60), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("camera_id", sa.String(60), nullable=False),
        sa.Column("view_id", sa.String(60), nullable=False),
    )
    op.create_index("audit_entry_owner", "audit_entry", ["owner", "position"])
    op.create_index("audit_entry_view", "audit_entry", ["view_id", "position"])


def downgrade() -> None:
    raise RuntimeError("an append-only log is never taken back")
