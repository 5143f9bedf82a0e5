"""How large a record is on the wire, and whether its topic takes it."""

from feedgate_kit.bus.ports import TooLargeError
from feedgate_kit.bus.record import Record
from feedgate_kit.topics import Topic

BATCH_BYTES = 256
"""Above what Kafka's record batch adds to a single record: 61 of header, lengths as varints."""


def fits(record: Record, topic: Topic) -> bool:
    """Whether the topic takes the record in a batch of its own."""
    return size_bytes(record) <= topic.setting("max.message.bytes")


def check_size(record: Record, topic: Topic) -> None:
    """Refuse what no back of the bus would keep.

    Raises:
        TooLargeError: the record was not taken.
    """
    if not fits(record, topic):
        raise TooLargeError(
            f"record `{record.key}` for `{topic.name}` is {size_bytes(record)} bytes on the wire; allowed:"
            f" {topic.setting('max.message.bytes')}"
        )


def size_bytes(record: Record) -> int:
    """Bytes on the wire, not less."""
    headers = sum(len(name.encode()) + len(value.encode()) + 10 for name, value in record.headers.items())
    return BATCH_BYTES + len(record.key.encode()) + len(record.value) + headers
