"""What an owner may name as a camera's source, and why one is refused (threat T-10)."""

from collections.abc import Sequence
from dataclasses import dataclass

from feedgate_kit.addresses import (
    Address,
    Network,
    RtspUrl,
    RtspUrlError,
    judge_addresses,
    parse_rtsp_url,
)
from feedgate_kit.errors import FeedgateError

MOST_FINDINGS = 5
"""Addresses named in one answer; a name can have hundreds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a source, in words that repeat nothing secret."""

    reason: str  # a stable code: `url`, `unresolvable` or a class of address
    seen: str
    allowed: str


class SourceRefusedError(FeedgateError):
    """The source may not be connected to; nothing was stored."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings[:MOST_FINDINGS])
        super().__init__("; ".join(f"{one.seen}, allowed: {one.allowed}" for one in self.findings))

    @property
    def reason(self) -> str:
        """The code of the first finding, for a metric."""
        return self.findings[0].reason


def parse_source(url: str, username: str | None, password: str | None) -> RtspUrl:
    """The source an owner wrote, with credentials in the URL or beside it.

    Raises:
        SourceRefusedError: it is no `rtsp` URL that every reader reads alike.
    """
    try:
        source = parse_rtsp_url(url)
        if username is None and password is None:
            return source
        return source.with_credentials(username or "", password or "")
    except RtspUrlError as error:
        raise SourceRefusedError([Finding("url", error.seen, error.allowed)]) from None


def judge_source(
    addresses: Sequence[Address], allowed_networks: Sequence[Network], own_networks: Sequence[Network]
) -> None:
    """Refuse a source if a single one of its addresses is out of bounds.

    Raises:
        SourceRefusedError: says for each address what it is and what is allowed.
    """
    refusals = judge_addresses(addresses, allowed_networks, own_networks)
    if refusals:
        raise SourceRefusedError([Finding(one.address_class, one.seen, one.allowed) for one in refusals])
