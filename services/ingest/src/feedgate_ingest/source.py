"""A camera's source: opened in memory, judged, and pinned to one address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from feedgate_ingest.reasons import FeedError, Reason
from feedgate_kit.addresses import Address, Network, RtspUrl, RtspUrlError, judge_addresses, parse_rtsp_url
from feedgate_kit.sealing import SealingError, open_sealed


@dataclass(frozen=True, slots=True)
class SealedSource:
    """What registry hands over: of no use without the pool's private key."""

    camera_id: str
    version: int  # of the source; bound into the seal
    key_id: str
    sealed: bytes
    allowed_networks: tuple[Network, ...]  # of the pool


@dataclass(frozen=True, slots=True)
class Source:
    """Where a camera is and how to log in. Its representation shows neither."""

    url: RtspUrl
    allowed_networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class PinnedSource:
    """A source whose host is one judged address: nobody resolves a name again."""

    url: RtspUrl


@dataclass(frozen=True, slots=True, repr=False)
class PoolKeys:
    """The private halves of the keys that registry seals this pool's sources to: the present one, the last one."""

    private_keys: Mapping[str, X25519PrivateKey]  # by key id

    def __repr__(self) -> str:
        return f"PoolKeys({', '.join(self.private_keys)})"

    def open(self, sealed: SealedSource) -> Source:
        """The source in clear. It stays in memory.

        Raises:
            FeedError: it was sealed to another key or for another camera, or is no usable URL.
        """
        try:
            text = open_sealed(
                self.private_keys[sealed.key_id],
                sealed.sealed,
                sealed.camera_id,
                sealed.version,
                sealed.key_id,
            ).decode()
            url = parse_rtsp_url(text)
        except (KeyError, SealingError, UnicodeDecodeError, RtspUrlError):
            # Without its cause: a decoding error holds what it decoded.
            raise FeedError(Reason.SOURCE_UNUSABLE) from None
        return Source(url, sealed.allowed_networks)


def pin(source: Source, addresses: Sequence[Address], own_networks: Sequence[Network]) -> PinnedSource:
    """The source at one of the addresses that its host has now.

    Args:
        source: as opened.
        addresses: all that the host has, in the resolver's order.
        own_networks: where this system itself lives.

    Raises:
        FeedError: there is none, or a single one of them may not be connected to.
    """
    if not addresses:
        raise FeedError(Reason.NAME_UNRESOLVED)
    refusals = judge_addresses(addresses, source.allowed_networks, own_networks)
    if refusals:
        kinds = sorted({refusal.address_class.replace("_", " ") for refusal in refusals})
        raise FeedError(Reason.ADDRESS_REFUSED, f"Seen: {', '.join(kinds)}.")
    return PinnedSource(replace(source.url, host=str(addresses[0])))
