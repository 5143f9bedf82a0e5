"""A jurisdiction as data: a manifest, rows of legal bases, Cedar rules.

Only the root pack may permit. A file that says otherwise, or that cannot be
read, does not load, and neither does anything else: a service with half its
law would answer wrongly.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any

import cedarpy
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedgate_access_policy.legal_basis import Duration, LegalBasis
from feedgate_kit.errors import OperatorError

ROOT = "root"
MANIFEST = "pack.yaml"
BASES = "bases.jsonl"
SCHEMA = "schema.cedarschema"

_Code = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9\-]{1,31}$")]
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class PackError(OperatorError):
    """A pack does not load: which file, and which rule of packs it breaks."""


class Limits(BaseModel):
    """Upper bounds. Along a chain of packs the least of each counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_cameras: int | None = Field(default=None, ge=0)
    max_window: Duration | None = None
    max_distance_m: int | None = Field(default=None, ge=0)
    live_initial: Duration | None = None
    grant_cap: Duration | None = None
    max_view: Duration | None = None


class Manifest(BaseModel):
    """`pack.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^(root|[A-Z0-9]{1,8}(-[A-Z0-9]{1,8})*)$")
    parent: str | None = None
    version: int = Field(ge=1)
    limits: Limits = Limits()
    conditions: list[_Code] = []
    documents: dict[_Name, str] = {}
    unavailable: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Rule:
    """One Cedar policy of a pack."""

    rule_id: str
    permits: bool
    reason: str  # the reason code it gives; empty for the permit
    policy: Mapping[str, Any]  # in Cedar's JSON form


@dataclass(frozen=True, slots=True)
class Pack:
    """One jurisdiction's own part of the law, as loaded."""

    manifest: Manifest
    bases: Mapping[str, LegalBasis]
    rules: tuple[Rule, ...]  # in the order of file names, then of the file
    digest: str  # SHA-256 over its files, hex


def packaged_packs() -> Traversable:
    """The packs that come with this service."""
    return files("feedgate_access_policy") / "packs"


def load_packs(folder: Traversable) -> tuple[Mapping[str, Pack], cedarpy.Schema]:
    """Every pack under `folder`, by id, and the schema that their rules were held to.

    Raises:
        PackError: some file breaks a rule of packs; nothing is loaded.
    """
    schema = _load_schema(folder / ROOT / SCHEMA)
    packs = {
        entry.name: _load_pack(entry, schema)
        for entry in sorted(folder.iterdir(), key=lambda each: each.name)
        if entry.is_dir() and not entry.name.startswith(("_", "."))
    }
    for pack in packs.values():
        _check_parent(pack.manifest, packs)
    _check_names_are_given_once(packs.values())
    return packs, schema


def _load_schema(file: Traversable) -> cedarpy.Schema:
    try:
        return cedarpy.Schema.from_str(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise PackError(f"`{ROOT}/{SCHEMA}`: {_one_line(error)}") from error


def _load_pack(folder: Traversable, schema: cedarpy.Schema) -> Pack:
    manifest = _load_manifest(folder)
    texts = {
        file.name: _text(folder.name, file)
        for file in sorted(folder.iterdir(), key=lambda each: each.name)
        if file.is_file()
    }
    rules: list[Rule] = []
    for name, text in texts.items():
        if name.endswith(".cedar"):
            rules += _load_rules(f"{folder.name}/{name}", text, manifest.id, schema)
        elif name not in {MANIFEST, BASES, SCHEMA}:
            raise PackError(
                f"`{folder.name}/{name}`: a pack holds `{MANIFEST}`, `{BASES}` and `*.cedar`, nothing else"
            )
    if SCHEMA in texts and manifest.id != ROOT:
        raise PackError(f"`{folder.name}/{SCHEMA}`: only `{ROOT}` has a schema")
    return Pack(
        manifest=manifest,
        bases=_load_bases(f"{folder.name}/{BASES}", texts.get(BASES, ""), manifest.id),
        rules=tuple(rules),
        digest=hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest(),
    )


def _text(pack: str, file: Traversable) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"`{pack}/{file.name}`: {_one_line(error)}") from error


def _load_manifest(folder: Traversable) -> Manifest:
    name = f"{folder.name}/{MANIFEST}"
    try:
        manifest = Manifest.model_validate(yaml.safe_load((folder / MANIFEST).read_text(encoding="utf-8")))
    except ValidationError as error:
        raise PackError(f"`{name}`: {_first(error)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PackError(f"`{name}`: {_one_line(error)}") from error
    if manifest.id != folder.name:
        raise PackError(f"`{name}`: id is `{manifest.id}`; it must be the folder's name")
    return manifest


def _load_bases(name: str, text: str, pack: str) -> Mapping[str, LegalBasis]:
    bases: dict[str, LegalBasis] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            basis = LegalBasis.model_validate_json(line)
        except ValidationError as error:
            raise PackError(f"`{name}` line {number}: {_first(error)}") from error
        if basis.jurisdiction != pack or not basis.basis_code.startswith(f"{pack}."):
            raise PackError(
                f"`{name}` line {number}: `{basis.basis_code}` of `{basis.jurisdiction}`; "
                f"a pack holds only bases of its own jurisdiction `{pack}`"
            )
        if basis.basis_code in bases:
            raise PackError(f"`{name}` line {number}: `{basis.basis_code}` stands there twice")
        bases[basis.basis_code] = basis
    return bases


def _load_rules(name: str, text: str, pack: str, schema: cedarpy.Schema) -> Iterable[Rule]:
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise PackError(f"`{name}`: {_one_line(error)}") from error
    if parsed["templates"] or parsed["templateLinks"]:
        raise PackError(f"`{name}`: holds a template; rules are whole policies")
    checked = cedarpy.validate_policies(text, schema)
    if not checked.validation_passed:
        raise PackError(f"`{name}`: {_one_line(checked.errors[0].error)}")
    # Cedar numbers the policies of a text in order: policy0, policy1, ...
    in_order = sorted(parsed["staticPolicies"].items(), key=lambda item: int(item[0].removeprefix("policy")))
    return [_load_rule(name, policy, pack) for _, policy in in_order]


def _load_rule(name: str, policy: Mapping[str, Any], pack: str) -> Rule:
    annotations = policy.get("annotations", {})
    rule_id = annotations.get("id") or ""
    permits = policy["effect"] == "permit"
    if permits and pack != ROOT:
        raise PackError(f"`{name}`: rule `{rule_id or '?'}` permits; only `{ROOT}` may")
    if not rule_id.startswith(f"{pack}."):
        raise PackError(f"`{name}`: rule `{rule_id or '?'}` needs an `@id` that begins with `{pack}.`")
    reason = annotations.get("reason") or ""
    if not permits and not reason.replace("_", "").isalpha():
        raise PackError(f"`{name}`: rule `{rule_id}` forbids without a `@reason` code")
    return Rule(rule_id=rule_id, permits=permits, reason=reason, policy=policy)


def _check_parent(manifest: Manifest, packs: Mapping[str, Pack]) -> None:
    name = f"{manifest.id}/{MANIFEST}"
    if manifest.id == ROOT:
        if manifest.parent is not None:
            raise PackError(f"`{name}`: `{ROOT}` has no parent")
        absent = [limit for limit, value in manifest.limits.model_dump().items() if value is None]
        if absent:
            raise PackError(f"`{name}`: `{ROOT}` sets every limit; absent: {', '.join(absent)}")
        return
    if manifest.parent not in packs:
        raise PackError(f"`{name}`: parent `{manifest.parent}` is no pack here")
    if manifest.parent != ROOT and not manifest.id.startswith(f"{manifest.parent}-"):
        raise PackError(f"`{name}`: parent `{manifest.parent}` is no prefix of `{manifest.id}`")
    # A child that named a kind of document could satisfy a parent's rule that asks for one.
    if manifest.documents or manifest.unavailable:
        raise PackError(f"`{name}`: only `{ROOT}` names documents and unavailable bases")


def _check_names_are_given_once(packs: Iterable[Pack]) -> None:
    seen: set[str] = set()
    for pack in packs:
        for rule in pack.rules:
            if rule.rule_id in seen:
                raise PackError(f"`{pack.manifest.id}`: rule `{rule.rule_id}` stands there twice")
            seen.add(rule.rule_id)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{place}: {first['msg']}"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
