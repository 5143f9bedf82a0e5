"""The ingest pools: network places whose workers pull cameras, and whose keys sources are sealed to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from feedgate_kit.addresses import Network, parse_networks
from feedgate_kit.errors import OperatorError
from feedgate_kit.sealing import SealingError, read_public_key
from feedgate_kit.wrong_values import wrong_entry

_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"


class PoolsFileError(OperatorError):
    """The pools file is not as it has to be; nothing of it is used."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of the file."""

    name: str
    key_id: str
    public_key: X25519PublicKey
    allowed_networks: tuple[Network, ...]  # empty: every public address; see `judge_addresses`


class _PoolEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=_NAME)]
    key_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    public_key: str
    allowed_networks: list[str]


_ENTRIES = TypeAdapter(Annotated[list[_PoolEntry], Field(min_length=1)])


def load_pools(path: Path) -> Mapping[str, Pool]:
    """The pools in a YAML file that holds a list of them, by name.

    Raises:
        PoolsFileError: unreadable, unknown or missing keys, a bad network or key, or a name twice.
    """
    try:
        entries = _ENTRIES.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        cause = " ".join(str(error).split())
        raise PoolsFileError(
            f"pools file `{path}` cannot be read: {cause}; allowed: a YAML list of pools"
        ) from error
    except ValidationError as error:
        raise PoolsFileError(f"pools file `{path}`{wrong_entry(error, _PoolEntry.model_fields)}") from error
    pools: dict[str, Pool] = {}
    for entry in entries:
        if entry.name in pools:
            raise PoolsFileError(f"pools file `{path}`: pool `{entry.name}` stands twice; allowed: once")
        try:
            pools[entry.name] = Pool(
                entry.name,
                entry.key_id,
                read_public_key(entry.public_key),
                parse_networks(entry.allowed_networks),
            )
        except (SealingError, ValueError) as error:
            raise PoolsFileError(f"pools file `{path}`: pool `{entry.name}`: {error}") from error
    return MappingProxyType(pools)
