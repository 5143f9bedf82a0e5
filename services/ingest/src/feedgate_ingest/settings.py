"""Every setting of ingest. Environment variables begin with `FEEDGATE_INGEST_`."""

import socket
from collections.abc import Mapping

from pydantic import Field, SecretStr, field_validator

from feedgate_ingest.source import PoolKeys
from feedgate_kit.addresses import Network, parse_networks
from feedgate_kit.sealing import SealingError, read_private_keys
from feedgate_kit.settings import CallerSettings, SettingsError, settings_of


class IngestSettings(CallerSettings):
    """Those all services share, and what only ingest needs."""

    model_config = settings_of("ingest")

    pool: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """The pool whose cameras this worker pulls, as registry's pools file names it. Its workers share them."""

    pool_private_key: SecretStr | None = None
    """The pool's private keys, a line each: base64 of 32 bytes, after its `key_id` where the pools file names it
    otherwise than by what is made from it. Registry has the public half of the first; sources that are still
    sealed to another are opened as well. Give it as a file."""

    worker_id: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._-]{1,120}$")
    """This worker among those of its pool, and no other's. Keep it over restarts: a worker that is back
    under its name within 4 s keeps its cameras, and one with a new name waits until the old one has timed out."""

    registry_url: str = "http://127.0.0.1:8081"
    """Registry's internal port, where sealed sources are fetched at connect."""

    client_id: str = "ingest"
    """This service's name at that issuer; its tokens hold the role `ingest`."""

    own_networks: list[str] = Field(default_factory=list)
    """Networks where this system itself lives, as a JSON list; no camera is pulled from them."""

    describe_timeout_s: float = Field(default=5.0, gt=0, le=30)
    """How long a camera may take to accept a connection and describe itself."""

    open_timeout_s: float = Field(default=5.0, gt=0, le=30)
    """How long it may then take to begin playing. A hang-up during that time waits for it."""

    read_timeout_s: float = Field(default=2.0, gt=0, le=10)
    """How long a playing camera may be silent before it counts as stalled; the longest a hang-up takes."""

    @field_validator("own_networks")
    @classmethod
    def _are_networks(cls, networks: list[str]) -> list[str]:
        parse_networks(networks)
        return networks

    def called_urls(self) -> Mapping[str, str]:
        return {**super().called_urls(), self.setting_name("registry_url"): self.registry_url}

    def load_own_networks(self) -> tuple[Network, ...]:
        return parse_networks(self.own_networks)

    def load_pool_keys(self) -> PoolKeys:
        """The keys that open sources.

        Raises:
            SettingsError: they are not set, or one is no key.
        """
        if self.pool_private_key is None:
            raise self.missing("pool_private_key", "it has no default")
        try:
            return PoolKeys(read_private_keys(self.pool_private_key.get_secret_value()))
        except SealingError as error:
            raise SettingsError(f"{self.setting_name('pool_private_key')}: {error}") from None
