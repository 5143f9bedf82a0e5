"""Registry's tables. Times are microseconds since the Unix epoch, as the rules compare them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

from feedgate_kit.outbox import outbox_tables

METADATA = MetaData()

OWNERS = Table(
    "owners",
    METADATA,
    Column("owner", String(64), primary_key=True),  # keyed hash of issuer and subject
    Column("issuer", String(512), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

CAMERAS = Table(
    "cameras",
    METADATA,
    Column("camera_id", String(36), primary_key=True),
    Column("owner", String(64), ForeignKey("owners.owner"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("name", String(80), nullable=False),
    Column("longitude", Double, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("bearing_degrees", Double, nullable=False),
    Column("field_of_view_degrees", Double, nullable=False),
    Column("jurisdiction", String(20), nullable=False),
    Column("ingest_pool", String(63), nullable=False),
    Column("pool_version", BigInteger, nullable=False),
    Column("source_version", Integer, nullable=False),
    Column("source_key_id", String(64), nullable=False),
    Column("source_set_at_us", BigInteger, nullable=False),
    Column("sealed_source", LargeBinary, nullable=True),  # erased when the camera is removed
    Column("created_at_us", BigInteger, nullable=False),
    Column("resumed_at_us", BigInteger, nullable=False),
    Column("paused_at_us", BigInteger, nullable=True),
    Column("removed_at_us", BigInteger, nullable=True),
    Index("cameras_of_owner", "owner", "camera_id"),
)

AUTHORISATIONS = Table(
    "authorisations",
    METADATA,
    Column("authorisation_id", String(36), primary_key=True),
    Column("camera_id", String(36), ForeignKey("cameras.camera_id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("agencies", JSON, nullable=False),
    Column("purposes", JSON, nullable=False),
    Column("renditions", JSON, nullable=False),
    Column("schedule", JSON(none_as_null=True), nullable=True),
    Column("approval_mode", String(32), nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    Column("given_at_us", BigInteger, nullable=False),
    Column("withdrawn_at_us", BigInteger, nullable=True),
    Column("expired_at_us", BigInteger, nullable=True),
    Index("authorisations_of_camera", "camera_id", "authorisation_id"),
    Index(
        "authorisations_to_expire",
        "expires_at_us",
        postgresql_where=text("withdrawn_at_us IS NULL AND expired_at_us IS NULL"),
        sqlite_where=text("withdrawn_at_us IS NULL AND expired_at_us IS NULL"),
    ),
)

OUTBOX = outbox_tables(METADATA)
