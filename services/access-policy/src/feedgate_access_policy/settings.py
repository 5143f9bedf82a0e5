"""Every setting of access-policy. Environment variables begin with `FEEDGATE_ACCESS_POLICY_`."""

from pathlib import Path

from pydantic import Field, SecretStr

from feedgate_kit.settings import ServiceSettings, settings_of


class AccessPolicySettings(ServiceSettings):
    """Those all services share, and what only access-policy needs."""

    model_config = settings_of("access-policy")

    operator_pseudonym_key: SecretStr = Field(min_length=32)
    """Secret of at least 32 random characters under which operators are pseudonymised; known to no other service.

    It cannot be changed: whoever is on record under
    another pseudonym is refused (`pseudonym-changed`), for as two people they could approve
    what they asked for themselves.
    """

    ticket_key_file: Path
    """Ed25519 private keys, PKCS #8 in PEM, readable by this service only. The first signs tickets; relays
    believe all of them. Changes are followed: `feedgate rotate ticket-key`."""

    packs_folder: Path | None = None
    """Jurisdiction packs to load instead of those that come with this version."""

    upkeep_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often grants and requests whose time is over are put on record, in seconds. Relays keep the
    time by themselves; this only says how soon the record follows."""
