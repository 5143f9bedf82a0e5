"""What a service would run with: each setting's value, and where it came from. Secrets are not shown."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from feedgate.settings import UpSettings
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_audit.settings import AuditSettings
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.dangers import dangers
from feedgate_kit.settings import SECRETS_DIR_VARIABLE, ServiceSettings, SettingsError, load_settings
from feedgate_registry.settings import RegistrySettings
from feedgate_relay.settings import RelaySettings

KINDS: Final[Mapping[str, type[ServiceSettings]]] = {
    "up": UpSettings,
    "registry": RegistrySettings,
    "access-policy": AccessPolicySettings,
    "ingest": IngestSettings,
    "relay": RelaySettings,
    "audit": AuditSettings,
}
"""Everything that has settings, by the name its variables carry."""

HIDDEN: Final = "********"
Source = Literal["environment", "file", "default"]


def configured(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The services that anything here is set for.

    Raises:
        SettingsError: there is none.
    """
    names = [variable.upper() for variable in environment] + [
        file.name.upper() for file in _secret_files(environment)
    ]
    found = [
        service
        for service, kind in KINDS.items()
        if any(name.startswith(kind.setting_name("")) for name in names)
    ]
    if not found:
        raise SettingsError(f"no variable of any service is set; name one: {', '.join(KINDS)}")
    return found


def effective(service: str, environment: Mapping[str, str] = os.environ) -> tuple[list[str], list[str]]:
    """A line per setting, `NAME=value  # source`, and a line per danger.

    Raises:
        SettingsError: one or more are unknown or not allowed.
    """
    settings = load_settings(KINDS[service])
    lines = [
        f"{settings.setting_name(field)}={_shown(field, getattr(settings, field))}"
        f"  # {_source(settings.setting_name(field), environment)}"
        for field in type(settings).model_fields
    ]
    return lines, list(dangers(settings))


def _source(name: str, environment: Mapping[str, str]) -> Source:
    # As pydantic-settings looks: the environment before files, neither by capitals.
    if any(variable.upper() == name for variable in environment):
        return "environment"
    return "file" if any(file.name.upper() == name for file in _secret_files(environment)) else "default"


def _secret_files(environment: Mapping[str, str]) -> Iterator[Path]:
    folder = environment.get(SECRETS_DIR_VARIABLE)
    return (file for file in (Path(folder).iterdir() if folder and Path(folder).is_dir() else ()))


def _shown(field: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, SecretStr):
        # This one is an address that holds a password, and still says where it leads.
        return _without_secrets(value.get_secret_value()) if field == "database_url" else HIDDEN
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(field, each) for each in value) + "]"
    text = str(value)
    return _without_secrets(text) if "://" in text else text


def _without_secrets(url: str) -> str:
    """Scheme, host and path. Of its query only how it is encrypted: any other part may be a password."""
    try:
        parts = urlsplit(url)
        asked = parse_qs(parts.query).get("ssl", [])
    except ValueError:
        return HIDDEN
    place = parts.netloc.rpartition("@")[2]
    encrypted = f"?ssl={asked[-1]}" if asked else ""
    return f"{parts.scheme}://{place}{parts.path}{encrypted}"
