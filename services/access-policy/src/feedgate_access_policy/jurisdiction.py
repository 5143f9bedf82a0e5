"""The law in force at one place: its pack and every parent, folded together."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

import cedarpy

from feedgate_access_policy.duration import duration_us
from feedgate_access_policy.legal_basis import LegalBasis
from feedgate_access_policy.pack import ROOT, Limits, Pack, load_packs


@dataclass(frozen=True, slots=True)
class LeastLimits:
    """The least of each limit along the chain."""

    max_cameras: int
    max_window_us: int
    max_distance_m: int
    live_initial_us: int
    grant_cap_us: int
    max_view_us: int


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """A chain of packs from the root to one place, ready to be asked."""

    name: str
    chain: tuple[str, ...]  # pack ids, the root first
    bases: Mapping[str, LegalBasis]
    limits: LeastLimits
    conditions: tuple[str, ...]
    policies: cedarpy.PolicySet
    reasons: Mapping[str, str]  # rule id → reason code, in the order answers give them
    version: str


@dataclass(frozen=True, slots=True)
class Law:
    """Every jurisdiction that has a pack."""

    jurisdictions: Mapping[str, Jurisdiction]
    root: Jurisdiction
    schema: cedarpy.Schema
    documents: Mapping[str, str]  # kind → what it is, for people
    unavailable: Mapping[str, str]  # basis code → why it is refused, for people

    def knows_basis(self, basis_code: str) -> bool:
        """Whether any pack has this row."""
        return self.basis(basis_code) is not None

    def basis(self, basis_code: str) -> LegalBasis | None:
        """The row of this code, wherever it applies; a code stands in one pack only."""
        return next(
            (place.bases[basis_code] for place in self.jurisdictions.values() if basis_code in place.bases),
            None,
        )

    def conditions_at(self, jurisdiction: str) -> tuple[str, ...]:
        """The obligation codes that a grant for a camera there carries."""
        return self.jurisdictions.get(jurisdiction, self.root).conditions


def load_law(folder: Traversable) -> Law:
    """Read every pack.

    Raises:
        PackError: some file breaks a rule of packs; nothing is loaded.
    """
    packs, schema = load_packs(folder)
    jurisdictions = {
        name: _fold(name, [packs[each] for each in _chain(name, packs)]) for name in packs if name != ROOT
    }
    root = packs[ROOT].manifest
    return Law(
        jurisdictions=jurisdictions,
        root=_fold(ROOT, [packs[ROOT]]),
        schema=schema,
        documents=root.documents,
        unavailable=root.unavailable,
    )


def _chain(name: str, packs: Mapping[str, Pack]) -> Sequence[str]:
    chain = [name]
    while (parent := packs[chain[0]].manifest.parent) is not None:
        chain.insert(0, parent)
    return chain


def _fold(name: str, packs: Sequence[Pack]) -> Jurisdiction:
    rules = [rule for pack in packs for rule in pack.rules]
    policies = {
        "staticPolicies": {rule.rule_id: rule.policy for rule in rules},
        "templates": {},
        "templateLinks": [],
    }
    return Jurisdiction(
        name=name,
        chain=tuple(pack.manifest.id for pack in packs),
        bases={code: basis for pack in packs for code, basis in pack.bases.items()},
        limits=_least([pack.manifest.limits for pack in packs]),
        conditions=tuple(dict.fromkeys(code for pack in packs for code in pack.manifest.conditions)),
        policies=cedarpy.PolicySet.from_json_str(json.dumps(policies)),
        reasons={rule.rule_id: rule.reason for rule in rules if not rule.permits},
        version=_version(packs),
    )


def _least(limits: Sequence[Limits]) -> LeastLimits:
    def count(name: str) -> int:
        return min(int(value) for each in limits if (value := getattr(each, name)) is not None)

    def span_us(name: str) -> int:
        return min(duration_us(value) for each in limits if (value := getattr(each, name)) is not None)

    return LeastLimits(
        max_cameras=count("max_cameras"),
        max_window_us=span_us("max_window"),
        max_distance_m=count("max_distance_m"),
        live_initial_us=span_us("live_initial"),
        grant_cap_us=span_us("grant_cap"),
        max_view_us=span_us("max_view"),
    )


def _version(packs: Sequence[Pack]) -> str:
    """Names and versions of the packs, and a digest over all their files."""
    names = "/".join(f"{pack.manifest.id}@{pack.manifest.version}" for pack in packs)
    digest = hashlib.sha256("".join(pack.digest for pack in packs).encode()).hexdigest()
    return f"{names}+{digest[:16]}"
