"""The decision point: a question in, an answer with its reasons out. Pure.

Cedar skips a policy that fails, so a broken `forbid` would vanish; here any
error denies. The same facts always give the same answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cedarpy

from feedgate_access_policy.camera import Terms
from feedgate_access_policy.evidence import is_document, is_evidence
from feedgate_access_policy.jurisdiction import Jurisdiction, Law
from feedgate_access_policy.question import Login, NamedBasis, Person, Question
from feedgate_contracts.schedule import ScheduleError, opens_within

POLICY_ERROR = "policy_error"
NOT_PERMITTED = "not_permitted"
STATE_NOT_FRESH = "state_not_fresh"
LOGIN_TOO_WEAK = "login_too_weak"
_GRANT_CLOSED = "grant_closed"
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class MissingEvidence:
    """A field that a basis requires and the request does not fill."""

    basis_code: str
    field: str


@dataclass(frozen=True, slots=True)
class RefusedBasis:
    """A basis that cannot carry this request."""

    basis_code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer, whole enough to be replayed by an auditor."""

    permitted: bool
    reasons: tuple[str, ...]  # reason codes; none for a permit
    errors: tuple[str, ...]
    missing_evidence: tuple[MissingEvidence, ...]
    refused_bases: tuple[RefusedBasis, ...]
    weak_login: Login | None  # that was not enough
    policy_version: str
    # What a grant from this answer would last from and until.
    opens_at_us: int
    not_after_us: int


def decide(question: Question, law: Law) -> Decision:
    """Permit only if the root's permit holds, no rule forbids and none fails.

    `reasons` are the codes of the rules that forbid, in the order of the packs;
    a closed grant answers with the reason it was closed for.
    """
    place = _jurisdiction_of(question, law)
    jurisdiction = law.root if place is None else place
    sorted_bases = _sort_bases(question, jurisdiction, law)
    missing = tuple(_missing_evidence(question, jurisdiction, law))
    opens_at_us, not_after_us = _window(question, jurisdiction)
    without_live = _without_live(question, jurisdiction)
    errors: tuple[str, ...]
    reasons: tuple[str, ...]
    try:
        facts = _facts(question, jurisdiction, opens_at_us, not_after_us) | {
            "jurisdiction_known": place is not None and _agency_law(question, law) is not None,
            "bases": {name: sorted(codes) for name, codes in sorted_bases.items()},
            "missing_evidence": [f"{each.basis_code}.{each.field}" for each in missing],
            "without_live": without_live,
            "documents": sorted(_documents(question, law)),
        }
    except ScheduleError as error:
        permitted, reasons, errors = False, (), (str(error),)
    else:
        permitted, reasons, errors = _ask_cedar(question, facts, jurisdiction, law)
    if errors:
        permitted, reasons = False, (*reasons, POLICY_ERROR)
    if not permitted and not reasons:
        reasons = (NOT_PERMITTED,)
    return Decision(
        permitted=permitted,
        reasons=reasons,
        errors=errors,
        missing_evidence=missing,
        refused_bases=_refused(sorted_bases, without_live),
        weak_login=question.login if LOGIN_TOO_WEAK in reasons else None,
        policy_version=jurisdiction.version,
        opens_at_us=opens_at_us,
        not_after_us=not_after_us,
    )


def _jurisdiction_of(question: Question, law: Law) -> Jurisdiction | None:
    # Nothing is known of an unknown camera's place; the asker's law still says
    # what is wrong with the rest.
    name = question.request.agency_jurisdiction if question.camera is None else question.camera.jurisdiction
    return None if name is None else law.jurisdictions.get(name)


def _agency_law(question: Question, law: Law) -> Jurisdiction | None:
    name = question.request.agency_jurisdiction
    return None if name is None else law.jurisdictions.get(name)


def _ask_cedar(
    question: Question, facts: Mapping[str, Any], jurisdiction: Jurisdiction, law: Law
) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    request = {
        "principal": _uid("Operator", question.person.pseudonym),
        "action": _uid("Action", question.action),
        "resource": _uid("Camera", question.camera_id),
        "context": dict(facts),
    }
    answer = cedarpy.is_authorized(request, jurisdiction.policies, _entities(question), schema=law.schema)
    forbidding = {rule for rule in answer.diagnostics.reasons if rule in jurisdiction.reasons}
    codes = (reason for rule, reason in jurisdiction.reasons.items() if rule in forbidding)
    reasons = (_closed_reason(question) if code == _GRANT_CLOSED else code for code in codes)
    errors = tuple(error[:_LONGEST_ERROR] for error in answer.diagnostics.errors)
    return answer.allowed, tuple(dict.fromkeys(reasons)), errors


def _closed_reason(question: Question) -> str:
    return (question.grant.closed_reason if question.grant else "") or _GRANT_CLOSED


def _entities(question: Question) -> list[dict[str, Any]]:
    camera = question.camera
    people = {person.pseudonym: person for person in (question.request.requester, question.person)}
    return [
        *(_operator(person) for person in people.values()),
        {
            "uid": _uid("Camera", question.camera_id),
            "attrs": {
                "known": camera is not None,
                "removed": camera is not None and camera.removed,
                "sharing": "stopped" if camera is None else camera.sharing,
            },
            "parents": [],
        },
    ]


def _operator(person: Person) -> dict[str, Any]:
    return {
        "uid": _uid("Operator", person.pseudonym),
        "attrs": {"agency": person.agency, "roles": sorted(person.roles)},
        "parents": [],
    }


def _uid(kind: str, identity: str) -> dict[str, str]:
    return {"type": kind, "id": identity}


def _reference(pseudonym: str) -> dict[str, dict[str, str]]:
    return {"__entity": _uid("Operator", pseudonym)}


def _facts(
    question: Question, jurisdiction: Jurisdiction, opens_at_us: int, not_after_us: int
) -> dict[str, Any]:
    request, grant = question.request, question.grant
    from_us, until_us = _asked_window(question)
    facts: dict[str, Any] = {
        "now_us": question.now_us,
        "cameras_fresh": question.cameras_fresh,
        "acr": question.login.acr,
        "accepted_acr": sorted(question.login.accepted),
        "agency": request.requester.agency,
        "requester": _reference(request.requester.pseudonym),
        "purpose": request.purpose,
        "mode": request.mode,
        "rendition": request.rendition,
        "camera_count": request.camera_count,
        "distance_m": question.distance_m,
        "from_us": from_us,
        "until_us": until_us,
        "opens_at_us": opens_at_us,
        "not_after_us": not_after_us,
        "limits": {
            "max_cameras": jurisdiction.limits.max_cameras,
            "max_window_us": jurisdiction.limits.max_window_us,
            "max_distance_m": jurisdiction.limits.max_distance_m,
        },
    }
    if question.terms is not None:
        # A request may wait for its approval; a grant counts as it stands.
        ends_us = until_us if question.action == "request" else not_after_us
        facts["terms"] = _terms(question.terms, max(question.now_us, opens_at_us), ends_us)
    if grant is not None:
        facts["grant"] = {
            "open": grant.is_open,
            "operators": [_reference(operator) for operator in sorted(grant.operators)],
        }
        if grant.approver is not None:
            facts["grant"]["approver"] = _reference(grant.approver)
    return facts


def _terms(terms: Terms, from_us: int, until_us: int) -> dict[str, Any]:
    return {
        "agencies": sorted(terms.agencies),
        "purposes": sorted(terms.purposes),
        "renditions": sorted(terms.renditions),
        "expires_at_us": terms.expires_at_us,
        # A window that is over holds no moment; that is another rule's reason.
        "in_schedule": (
            terms.schedule is None or until_us <= from_us or opens_within(terms.schedule, from_us, until_us)
        ),
    }


def _asked_window(question: Question) -> tuple[int, int]:
    if question.grant is not None:
        return question.grant.opens_at_us, question.grant.not_after_us
    return question.request.from_us, question.request.until_us


def _window(question: Question, jurisdiction: Jurisdiction) -> tuple[int, int]:
    """From when until when a grant would last, if it were given now.

    The end is the least of the request, the authorisation, what each basis
    allows for live, and the cap counted from now.
    """
    if question.grant is not None:
        ends = [question.grant.not_after_us]
        ends += [question.terms.expires_at_us] if question.terms else []
        return question.grant.opens_at_us, min(ends)
    request, limits = question.request, jurisdiction.limits
    opens_at_us = max(question.now_us, request.from_us)
    ends = [request.until_us, question.now_us + limits.grant_cap_us]
    if question.terms is not None:
        opens_at_us = max(opens_at_us, question.terms.opens_at_us)
        ends.append(question.terms.expires_at_us)
    for named in request.bases:
        basis = jurisdiction.bases.get(named.basis_code)
        live_us = 0 if basis is None else basis.live_us(limits.live_initial_us)
        if live_us > 0:  # one that covers no live at all is refused by its own rule
            ends.append(opens_at_us + live_us)
    return opens_at_us, min(ends)


def _sort_bases(question: Question, jurisdiction: Jurisdiction, law: Law) -> dict[str, set[str]]:
    """Each named code in the one set that says what the packs make of it."""
    codes: dict[str, set[str]] = {
        name: set()
        for name in ("disclose", "acquire", "forbidding", "not_a_basis", "unknown", "unavailable", "foreign")
    }
    agency_law = _agency_law(question, law)
    for named in question.request.bases:
        code = named.basis_code
        basis = jurisdiction.bases.get(code)
        if code in law.unavailable:
            codes["unavailable"].add(code)
        elif not law.knows_basis(code):
            codes["unknown"].add(code)
        elif basis is None or agency_law is None or code not in agency_law.bases:
            codes["foreign"].add(code)
        elif basis.side == "forbid":
            codes["forbidding"].add(code)
        elif basis.side == "safeguard":
            codes["not_a_basis"].add(code)
        else:
            codes[basis.side].add(code)
    return codes


def _missing_evidence(question: Question, jurisdiction: Jurisdiction, law: Law) -> Iterable[MissingEvidence]:
    for named in question.request.bases:
        basis = jurisdiction.bases.get(named.basis_code)
        required = () if basis is None else basis.required_evidence
        for field in required:
            if not is_evidence(named.evidence.get(field), question.now_us):
                yield MissingEvidence(named.basis_code, field)
        # A document that was offered and is none is named too, so that nobody wonders.
        for kind in sorted(set(named.evidence) & set(law.documents) - set(required)):
            if not is_document(named.evidence[kind], question.now_us):
                yield MissingEvidence(named.basis_code, kind)


def _documents(question: Question, law: Law) -> set[str]:
    return {
        kind
        for named in question.request.bases
        for kind, value in named.evidence.items()
        if kind in law.documents and is_document(value, question.now_us)
    }


def _without_live(question: Question, jurisdiction: Jurisdiction) -> list[str]:
    named = {each.basis_code for each in question.request.bases}

    def covers_live(each: NamedBasis) -> bool:
        basis = jurisdiction.bases.get(each.basis_code)
        if basis is None or basis.side not in {"disclose", "acquire"}:
            return True  # refused for what it is, not for what it does not cover
        return basis.live_us(jurisdiction.limits.live_initial_us) > 0 and named.issuperset(basis.live_with)

    return sorted(each.basis_code for each in question.request.bases if not covers_live(each))


def _refused(codes: Mapping[str, set[str]], without_live: Iterable[str]) -> tuple[RefusedBasis, ...]:
    reasons = {
        "unknown": "basis_unknown",
        "unavailable": "basis_not_available",
        "foreign": "basis_out_of_jurisdiction",
        "forbidding": "forbidden_function",
        "not_a_basis": "not_a_basis",
    }
    refused = [RefusedBasis(code, reason) for name, reason in reasons.items() for code in sorted(codes[name])]
    return (*refused, *(RefusedBasis(code, "live_not_covered") for code in without_live))
