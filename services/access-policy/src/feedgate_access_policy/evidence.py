"""What a requester hands in to show that a legal basis holds."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A paper that somebody signed, by reference; its content stays where it is."""

    ref: str
    issued_by: str
    issued_at_us: int
    sha256: str | None = None


EvidenceValue = str | Document
Evidence = Mapping[str, EvidenceValue]


def says_something(text: str) -> bool:
    """Whether a text holds a letter or a digit: blanks and dashes are no evidence."""
    return any(character.isalnum() for character in text)


def is_document(value: EvidenceValue | None, now_us: int) -> bool:
    """Whether this is a document somebody has issued; one from the future is none."""
    return (
        isinstance(value, Document)
        and says_something(value.ref)
        and says_something(value.issued_by)
        and value.issued_at_us <= now_us
    )


def is_evidence(value: EvidenceValue | None, now_us: int) -> bool:
    """Whether a required field is there: a text that says something, or a document."""
    if isinstance(value, str):
        return says_something(value)
    return is_document(value, now_us)
