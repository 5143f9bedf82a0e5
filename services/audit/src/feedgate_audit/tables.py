"""The one table of audit: facts in order. It is only ever inserted into and read."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table

from feedgate_audit.facts import LONGEST_CHARS

metadata = MetaData()

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    Column("type", String(120), nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("previous_hash", LargeBinary(32), nullable=False, unique=True),
    Column("hash", LargeBinary(32), nullable=False),
    # What questions are asked by, copied out of `value`; the chain does not cover these.
    Column("record_id", String(LONGEST_CHARS["record_id"]), nullable=False, unique=True),
    Column("event", String(LONGEST_CHARS["event"]), nullable=False),
    Column("owner", String(LONGEST_CHARS["owner"]), nullable=False),
    Column("camera_id", String(LONGEST_CHARS["camera_id"]), nullable=False),
    Column("view_id", String(LONGEST_CHARS["view_id"]), nullable=False),
    Index("audit_entry_owner", "owner", "position"),
    Index("audit_entry_view", "view_id", "position"),
)
