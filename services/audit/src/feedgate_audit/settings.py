"""Every setting of audit. Environment variables begin with `FEEDGATE_AUDIT_`."""

from typing import Annotated

from pydantic import Field, SecretStr

from feedgate_kit.settings import ServiceSettings, settings_of


class AuditSettings(ServiceSettings):
    """Those all services share, and what only audit needs."""

    model_config = settings_of("audit")

    owner_hash_key: Annotated[SecretStr, Field(min_length=32)]
    """Secret of at least 32 random characters under which owners are pseudonymised; the same in registry and audit.

    Changing it cuts owners off from their ledger.
    """
