"""The relay's settings, the operator's reference page."""

from collections.abc import Mapping

from pydantic import Field

from feedgate_kit.settings import CallerSettings, settings_of


class RelaySettings(CallerSettings):
    """Variables `FEEDGATE_RELAY_…`."""

    model_config = settings_of("relay")

    access_policy_internal_url: str = "http://127.0.0.1:8081"
    """Access-policy's internal port, without a path: its public ticket keys are had there."""

    client_id: str = "relay"
    """This service's name at that issuer; its tokens hold the role `relay`."""

    relay_id: str = Field(default="relay-1", pattern=r"^[a-z0-9-]{1,40}$")
    """Tells this relay's demand from another's. Every relay of a deployment has its own."""

    stall_s: float = Field(default=0.5, ge=0.1, le=5)
    """How long a picture may lie unread at ingest, in seconds; as ingest has it. With the skew it is the
    margin after a window opens before its first picture is shown."""

    maximum_views: int = Field(default=1_000, ge=1, le=20_000)
    """Views open at once; a further one is refused and may go to another relay."""

    def called_urls(self) -> Mapping[str, str]:
        return {
            **super().called_urls(),
            self.setting_name("access_policy_internal_url"): self.access_policy_internal_url,
        }
