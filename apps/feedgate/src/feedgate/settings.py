"""Every setting of one box. Environment variables begin with `FEEDGATE_UP_`."""

from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from feedgate_kit.addresses import parse_networks
from feedgate_kit.settings import ServiceSettings, settings_of


class UpSettings(ServiceSettings):
    """Those all services share, and what only one box needs. It has no Kafka or database to choose."""

    model_config = settings_of("up")

    public_origin: str = "http://127.0.0.1:8080"
    """What browsers see: scheme, host and port without a path. Left out: where the box listens in fact."""

    skew_s: float = Field(default=0.0, ge=0, le=5)
    """One process has one clock."""

    pool: str = Field(default="local", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the one ingest pool: the network this box stands in."""

    allowed_networks: tuple[str, ...] = ()
    """Networks that cameras may be pulled from, as a JSON list like `["192.168.7.0/24"]`.

    Empty: public addresses only. The cameras of a site are on its private network: name exactly that.
    """

    packs_folder: Path | None = None
    """Jurisdiction packs to load instead of those that come with this version."""

    @field_validator("allowed_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(networks)
        return networks

    @field_validator(
        "kafka_bootstrap", "kafka_ca_file", "kafka_username", "kafka_password", "database_url", mode="before"
    )
    @classmethod
    def _left_alone(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what would be ignored: somebody who sets it believes that it holds."""
        if value != cls.model_fields[info.field_name or ""].default:
            raise ValueError("nothing; one box keeps everything in its data folder")
        return value

    def own_hosts(self) -> dict[str, str]:
        """Both binds and what browsers see: the bus and the databases are this process's own files."""
        return {
            self.setting_name("public_origin"): urlsplit(self.public_origin).hostname or "",
            self.setting_name("public_host"): self.public_host,
            self.setting_name("internal_host"): self.internal_host,
        }

    def seen_at(self, origin: str) -> Self:
        """These settings, with the origin where the box listens in fact unless another was set."""
        if "public_origin" in self.model_fields_set:
            return self
        return self.model_copy(update={"public_origin": origin})
