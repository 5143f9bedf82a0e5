"""CloudEvents 1.0 in binary mode: what stands in a record's headers beside its protobuf value."""

from feedgate_kit.clock import Clock, to_datetime
from feedgate_kit.ids import new_id

SPECIFICATION = "1.0"
CONTENT_TYPE = "application/protobuf"


def headers_for(
    type: str,  # noqa: A002 - CloudEvents 1.0 §3.1 calls it so
    source: str,
    subject: str | None = None,
    *,
    clock: Clock,
) -> dict[str, str]:
    """The headers of a state or events record (CloudEvents Kafka binding 1.0 §3.2.3).

    Args:
        type: full name of the protobuf message in the value.
        source: the service that writes the record.
        subject: what the record is about; usually its key.
        clock: tells `ce_time`.
    """
    headers = {
        "ce_specversion": SPECIFICATION,
        "ce_id": new_id(),
        "ce_source": source,
        "ce_type": type,
        "ce_time": to_datetime(clock.now_us()).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "content-type": CONTENT_TYPE,
    }
    if subject is not None:
        headers["ce_subject"] = subject
    return headers


def media_headers(type: str) -> dict[str, str]:  # noqa: A002 - as above
    """The headers of a media record: 25 a second of each camera carry no more than this."""
    return {"content-type": CONTENT_TYPE, "ce_type": type}
