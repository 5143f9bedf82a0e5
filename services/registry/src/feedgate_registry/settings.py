"""Every setting of registry. Environment variables begin with `FEEDGATE_REGISTRY_`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from feedgate_kit.addresses import Network, parse_networks
from feedgate_kit.settings import ServiceSettings, settings_of


class RegistrySettings(ServiceSettings):
    """Those all services share, and what only registry needs."""

    model_config = settings_of("registry")

    owner_hash_key: Annotated[SecretStr, Field(min_length=32)]
    """Secret of at least 32 random characters under which owners are pseudonymised; the same in registry and audit.

    Changing it cuts owners off from their cameras.
    """

    pools_file: Path
    """YAML list of the ingest pools: name, key_id, public_key, allowed_networks.

    `public_key` is base64 of the pool's X25519 key, whose private half only its ingest workers
    have. Empty `allowed_networks`: every public address; otherwise exactly those networks, which
    is the only way to private, link-local and loopback ones.
    """

    packs_folder: Path | None = None
    """Jurisdiction packs, the folder that access-policy's setting of this name has: cameras stand where one is.

    Only the names in `pack.yaml` are read. Not set: the jurisdictions that come with this version.
    """

    own_networks: tuple[str, ...] = ()
    """Networks this system itself runs in, refused as sources unless a pool allows a part of one by name.

    A JSON list, e.g. `["10.20.0.0/16"]`. Private ranges are refused anyway; name what a pool would open.
    """

    resolve_timeout_s: float = Field(default=3.0, gt=0, le=30)
    """How long a name server may take when an owner gives a source. Stops never wait for it."""

    expiry_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often expired authorisations are taken out of the record. The relay keeps to expiry by itself."""

    most_authorisations: int = Field(default=50, ge=1, le=100)
    """In force for one camera at a time. A camera's record holds them all and has to stay under 1 MiB.

    One takes at most some 6 KiB: a hundred of the largest are 0.6 MiB.
    """

    @field_validator("own_networks")
    @classmethod
    def _networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(texts)
        return texts

    @property
    def own_address_ranges(self) -> tuple[Network, ...]:
        """`own_networks`, parsed."""
        return parse_networks(self.own_networks)
