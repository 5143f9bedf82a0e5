"""`docs/ref/settings.md`, from the settings classes: `python -m feedgate.settings_reference > docs/ref/settings.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from feedgate.effective_settings import KINDS
from feedgate_kit.settings import ServiceSettings

HEAD: Final = """\
# Settings

Environment variables, each the prefix of its service and a name: `FEEDGATE_REGISTRY_PUBLIC_PORT`. Any may instead be a
file of that name in lower case in the folder that `FEEDGATE_SECRETS_DIR` names. A variable with a service's prefix that
is no setting is an error, and so are settings that are dangerous together. `feedgate check-settings SERVICE`
prints what a service would start with here, where each value came from, and what is wrong.
Made by `python -m feedgate.settings_reference`.
"""

# Of the tools, which nothing here imports; a test of theirs holds it to the class.
PAGE: Final = """
## The page for signing in

Prefix `FEEDGATE_DEMO_PAGE_`.

| setting | default | |
| --- | --- | --- |
| `ISSUERS_FILE` | not set | The services' own file of OIDC issuers. People of its realms sign in, services do not. |
| `CLIENT_ID` | `feedgate-page` | The page's name at every issuer. |
"""


def settings_reference() -> str:
    """The whole page."""
    parts = [
        HEAD,
        "## All services\n",
        "With each service's prefix, `FEEDGATE_UP_` in one box.\n",
        *_table(ServiceSettings, ServiceSettings.model_fields),
        "",
    ]
    sections = [section("One box" if service == "up" else service, kind) for service, kind in KINDS.items()]
    return "\n".join(parts) + "".join(sections) + PAGE


def section(title: str, kind: type[ServiceSettings]) -> str:
    """What one service has besides the settings of all."""
    own = {
        name: field
        for name, field in kind.model_fields.items()
        if _row(name, field) != _row(name, ServiceSettings.model_fields.get(name))
    }
    return "\n".join([f"\n## {title}\n", f"Prefix `{kind.setting_name('')}`.\n", *_table(kind, own), ""])


def _table(kind: type[ServiceSettings], fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield "| setting | default | |"
    yield "| --- | --- | --- |"
    for name, field in fields.items():
        yield _row(kind.setting_name(name).removeprefix(kind.setting_name("")), field)


def _row(name: str, field: FieldInfo | None) -> str:
    if field is None:
        return ""
    words = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name.upper()}` | {_default(field)}{_unit(name)} | {words} |"


def _unit(name: str) -> str:
    """Units are in names; a port or a count has none."""
    return " s" if name.lower().endswith("_s") else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**none**"
    if field.default_factory is not None and not _is_list(field.annotation):
        return "this host's name"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, "") or isinstance(value, SecretStr):
        return "not set"
    if isinstance(value, list | tuple):
        return "`[]`"
    return f"`{value.as_posix() if isinstance(value, Path) else value}`"


def _is_list(annotation: Any) -> bool:
    return list in (annotation, get_origin(annotation), *get_args(annotation))


if __name__ == "__main__":
    sys.stdout.write(settings_reference())
