"""The jurisdictions whose law comes with this version: `jurisdictions.yaml`."""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

import yaml


def packaged_jurisdictions() -> Mapping[str, str | None]:
    """Each with its parent: the jurisdiction whose law it adds to, None for a country."""
    text = (files("feedgate_contracts") / "jurisdictions.yaml").read_text(encoding="utf-8")
    return MappingProxyType(yaml.safe_load(text))
