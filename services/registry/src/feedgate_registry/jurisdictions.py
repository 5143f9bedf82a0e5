"""The jurisdictions a camera may stand in: those whose law access-policy knows."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedgate_contracts.jurisdictions import packaged_jurisdictions
from feedgate_kit.errors import OperatorError
from feedgate_kit.wrong_values import wrong_entry

NAME = r"^[A-Z]{2}(-[A-Z0-9]{1,8})*$"
ROOT = "root"

Jurisdictions = Mapping[str, str | None]
"""By name, each with its parent; None for a country."""


class PacksFolderError(OperatorError):
    """The packs' folder does not tell which jurisdictions there are."""


class _Manifest(BaseModel):
    """What a `pack.yaml` says of its place; its law is access-policy's to read."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[str, Field(pattern=rf"{NAME}|^{ROOT}$")]
    parent: str | None = None


def load_jurisdictions(packs_folder: Path | None) -> Jurisdictions:
    """Those that have a pack in this folder; without one, those that come with this version.

    Raises:
        PacksFolderError: the folder cannot be read or holds no pack, or a `pack.yaml` names no place.
    """
    if packs_folder is None:
        return packaged_jurisdictions()
    try:
        manifests = [_read_manifest(path) for path in sorted(packs_folder.glob("[!_.]*/pack.yaml"))]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PacksFolderError(f"packs folder `{packs_folder}`: {' '.join(str(error).split())}") from error
    places = {each.id: None if each.parent == ROOT else each.parent for each in manifests if each.id != ROOT}
    if not places:
        raise PacksFolderError(
            f"packs folder `{packs_folder}` holds no jurisdiction; allowed: folders like `AR` with a `pack.yaml`"
        )
    return MappingProxyType(places)


def _read_manifest(path: Path) -> _Manifest:
    try:
        return _Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise PacksFolderError(f"`{path}`{wrong_entry(error, _Manifest.model_fields)}") from error
