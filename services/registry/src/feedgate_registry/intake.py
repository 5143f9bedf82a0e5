"""From the text an owner wrote to bytes that only the pool can read."""

from collections.abc import Sequence

from feedgate_kit.addresses import Network, RtspUrl
from feedgate_kit.resolver import Resolver
from feedgate_kit.sealing import seal
from feedgate_registry.pools import Pool
from feedgate_registry.source import Finding, SourceRefusedError, judge_source


class SourceIntake:
    """Judges and seals sources. Holds none of them."""

    def __init__(self, resolver: Resolver, own_networks: Sequence[Network]) -> None:
        """Judge by what `resolver` answers and where this system itself lives."""
        self.resolver = resolver
        self.own_networks = tuple(own_networks)

    async def judge(self, source: RtspUrl, pool: Pool) -> None:
        """Check every address behind the source; ingest does it again when it connects.

        Raises:
            SourceRefusedError: it may not be connected to from this pool, or cannot be resolved.
        """
        literal = source.address
        addresses = [literal] if literal is not None else await self.resolver.addresses(source.host)
        if not addresses:
            finding = Finding(
                "unresolvable", "a host name with no address", "a name that resolves, or the address itself"
            )
            raise SourceRefusedError([finding])
        judge_source(addresses, pool.allowed_networks, self.own_networks)

    @staticmethod
    def seal(source: RtspUrl, pool: Pool, camera_id: str, version: int) -> bytes:
        """The source's whole URL, sealed as this camera's source of this version."""
        return seal(pool.public_key, source.reveal().encode(), camera_id, version, pool.key_id)
