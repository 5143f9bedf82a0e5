import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feedgate_access_policy.bases_source import PACKS
from feedgate_access_policy.decision import Decision, MissingEvidence, RefusedBasis, decide
from feedgate_access_policy.evidence import Document, Evidence
from feedgate_access_policy.jurisdiction import Law, load_law
from feedgate_access_policy.question import Action, GrantInForce, NamedBasis, Person, Question

from .conftest import weekly

MakeQuestion = Callable[..., Question]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SARA = Person("op-2", "policia-sur", frozenset({"supervisor"}))
BOTH_ROLES = Person("op-1", "policia-sur", frozenset({"operator", "supervisor"}))

TEXTS: Mapping[str, tuple[str, ...]] = {
    "AR.25326.5-2-b": ("legal_provision", "function_of_state", "requesting_body", "purpose", "cesionario_id"),
    "AR.25326.23-2": ("mission_legal_basis", "strict_need", "file_id", "reliability_grade"),
    "AR.DISP10-2015": (
        "aaip_registration_id",
        "manual_id",
        "signage_existence",
        "signage_purpose",
        "signage_controller_contact",
        "retention_days",
        "places_dates_hours",
        "security_measures",
        "rights_procedure",
    ),
    "AR-B.CPP.265bis": (
        "ipp_number",
        "fiscalia_id",
        "oficio_id",
        "interval",
        "cameras",
        "original_unedited",
        "certified_copy_if_not",
        "hash",
        "chain_of_custody",
    ),
    "AR-B.TANDIL.17835": ("adhesion_id", "owner_id", "camera_ids", "judicial_or_faltas_request_id"),
    "GB.UKGDPR.6-1-f": ("request_form_id", "necessity_statement", "case_ref", "owner_decision"),
    "GB.DPA.35-2-b": (
        "law_enforcement_purpose",
        "law_citation",
        "necessity",
        "proportionality",
        "data_subject_category",
        "quality_statement",
    ),
    "GB.DPA.35-5": ("schedule8_condition", "strict_necessity", "apd_id", "apd_version"),
    "GB.RIPA.43-1-a": ("oral_time", "officer_id", "why_urgent", "written_record_time"),
    "SYS.BREAKGLASS": ("incident_ref",),
    "ZZ.UNHEARD.OF": ("anything",),
}


def basis(code: str, **more: Any) -> NamedBasis:
    evidence: dict[str, Any] = dict.fromkeys(TEXTS[code], "as the file says")
    return NamedBasis(code, evidence | more)


AR = (basis("AR.25326.5-2-b"), basis("AR.25326.23-2"))
GB = (basis("GB.UKGDPR.6-1-f"), basis("GB.DPA.35-2-b"))


@pytest.fixture
def yes(question: MakeQuestion) -> Question:
    return question()


def order(now_us: int, **different: Any) -> Document:
    return replace(Document("OF-77/27", "Fiscalía 4", now_us - HOUR_US), **different)


def with_order(question: Question, kind: str, document: Any) -> Question:
    first, second = question.request.bases
    evidence: Evidence = {**second.evidence, kind: document}
    return replace(
        question, request=replace(question.request, bases=(first, replace(second, evidence=evidence)))
    )


def moved(question: Question, **different: Any) -> Question:
    assert question.camera is not None
    return replace(question, camera=replace(question.camera, **different))


def under(question: Question, **different: Any) -> Question:
    assert question.terms is not None
    return replace(question, terms=replace(question.terms, **different))


def asked(question: Question, **different: Any) -> Question:
    return replace(question, request=replace(question.request, **different))


def granted(question: Question, action: Action = "ticket", **different: Any) -> Question:
    grant = GrantInForce(
        is_open=True,
        closed_reason="",
        operators=frozenset({"op-1"}),
        approver="op-2",
        opens_at_us=question.now_us - HOUR_US // 4,
        not_after_us=question.now_us + HOUR_US // 2,
    )
    return replace(question, action=action, grant=replace(grant, **different))


def test_what_owner_and_law_allow_is_permitted_without_reasons(yes: Question, law: Law) -> None:
    decision = decide(yes, law)
    assert decision == Decision(
        permitted=True,
        reasons=(),
        errors=(),
        missing_evidence=(),
        refused_bases=(),
        weak_login=None,
        policy_version=law.jurisdictions["AR"].version,
        opens_at_us=yes.now_us,
        not_after_us=yes.now_us + HOUR_US,
    )


def test_the_same_question_has_the_same_answer(yes: Question, law: Law) -> None:
    assert decide(yes, law) == decide(yes, law)


DENIALS: Mapping[str, tuple[Callable[[Question], Question], tuple[str, ...]]] = {
    "the copy of the cameras is old": (
        lambda q: replace(q, cameras_fresh=False),
        ("state_not_fresh",),
    ),
    "the camera is unknown": (
        lambda q: replace(q, camera=None, terms=None),
        ("camera_unknown", "authorisation_inactive"),
    ),
    "the camera was removed": (
        lambda q: replace(moved(q, removed=True, sharing="stopped"), terms=None),
        ("camera_removed", "authorisation_inactive"),
    ),
    "nothing is authorised": (lambda q: replace(q, terms=None), ("authorisation_inactive",)),
    "sharing is stopped": (lambda q: moved(q, sharing="stopped"), ("authorisation_inactive",)),
    "the authorisation has expired": (
        lambda q: under(q, expires_at_us=q.now_us),
        ("authorisation_inactive",),
    ),
    "another agency is listed": (
        lambda q: under(q, agencies=frozenset({"policia-norte"})),
        ("agency_not_listed",),
    ),
    "no agency is listed": (lambda q: under(q, agencies=frozenset()), ("agency_not_listed",)),
    "another purpose is allowed": (
        lambda q: under(q, purposes=frozenset({"missing_person"})),
        ("purpose_mismatch",),
    ),
    "another rendition is shared": (lambda q: under(q, renditions=frozenset({"stills"})), ("out_of_scope",)),
    "the camera is far from the incident": (lambda q: replace(q, distance_m=2_001), ("out_of_scope",)),
    "the window misses the owner's hours": (
        # Friday morning at the clock's start; open on Sundays only.
        lambda q: under(q, schedule=weekly("UTC", (7, 0, 1440))),
        ("out_of_schedule",),
    ),
    "the window is over": (
        lambda q: asked(q, from_us=q.now_us - HOUR_US, until_us=q.now_us),
        ("grant_expired",),
    ),
    "the window is longer than a day": (
        lambda q: asked(q, until_us=q.now_us + DAY_US + 1),
        ("window_too_long",),
    ),
    "the window begins after the authorisation ends": (
        lambda q: under(
            asked(q, from_us=q.now_us + 2 * HOUR_US, until_us=q.now_us + 3 * HOUR_US),
            expires_at_us=q.now_us + 2 * HOUR_US,
        ),
        ("window_empty",),
    ),
    "six cameras": (lambda q: asked(q, camera_count=6), ("bulk_limit",)),
    "thirty cameras over a march": (lambda q: asked(q, camera_count=30), ("bulk_limit",)),
    "the place has no pack": (
        lambda q: moved(q, jurisdiction="BR"),
        ("unknown_jurisdiction", "basis_out_of_jurisdiction", "no_disclose_basis", "no_acquire_basis"),
    ),
    "the agency's law has no pack": (
        lambda q: asked(q, agency_jurisdiction="BR"),
        ("unknown_jurisdiction", "basis_out_of_jurisdiction", "no_disclose_basis", "no_acquire_basis"),
    ),
    "the agency is not in the list": (
        lambda q: asked(q, agency_jurisdiction=None),
        ("unknown_jurisdiction", "basis_out_of_jurisdiction", "no_disclose_basis", "no_acquire_basis"),
    ),
    "no basis to disclose": (lambda q: asked(q, bases=AR[1:]), ("no_disclose_basis",)),
    "no basis to acquire": (lambda q: asked(q, bases=AR[:1]), ("no_acquire_basis",)),
    "no basis at all": (lambda q: asked(q, bases=()), ("no_disclose_basis", "no_acquire_basis")),
    "a basis nobody knows": (lambda q: asked(q, bases=(*AR, basis("ZZ.UNHEARD.OF"))), ("basis_unknown",)),
    "the emergency path": (
        lambda q: asked(q, bases=(AR[0], basis("SYS.BREAKGLASS"))),
        ("basis_not_available", "no_acquire_basis"),
    ),
    "a duty instead of a basis": (
        lambda q: asked(q, bases=(*AR, basis("AR.DISP10-2015"))),
        ("not_a_basis",),
    ),
    "another country's basis": (
        lambda q: asked(q, bases=(*AR, basis("GB.DPA.35-2-b"))),
        ("basis_out_of_jurisdiction",),
    ),
    "a child's basis at its parent's camera": (
        lambda q: asked(q, bases=(*AR, basis("AR-B.CPP.265bis")), agency_jurisdiction="AR-B"),
        ("basis_out_of_jurisdiction",),
    ),
    "somebody of another agency": (
        lambda q: replace(q, person=Person("op-9", "policia-norte", frozenset({"operator"}))),
        ("agency_not_listed", "other_agency"),
    ),
}


@pytest.mark.parametrize("case", DENIALS)
def test_a_request_is_denied_with_its_reasons(yes: Question, law: Law, case: str) -> None:
    change, reasons = DENIALS[case]
    decision = decide(change(yes), law)
    assert (decision.permitted, decision.reasons, decision.errors) == (False, reasons, ())


def test_every_reason_is_told_and_not_the_first_alone(yes: Question, law: Law) -> None:
    change = under(asked(yes, camera_count=6, bases=AR[:1]), purposes=frozenset())
    assert decide(change, law).reasons == ("purpose_mismatch", "no_acquire_basis", "bulk_limit")


def test_a_refused_basis_is_named_with_its_reason(yes: Question, law: Law) -> None:
    decision = decide(asked(yes, bases=(*AR, basis("SYS.BREAKGLASS"), basis("GB.DPA.35-2-b"))), law)
    assert decision.refused_bases == (
        RefusedBasis("SYS.BREAKGLASS", "basis_not_available"),
        RefusedBasis("GB.DPA.35-2-b", "basis_out_of_jurisdiction"),
    )


@pytest.mark.parametrize(
    ("place", "bases"),
    [("AR", AR), ("AR-B", AR), ("GB", GB), ("AR-B", (*AR, basis("AR-B.CPP.265bis")))],
    ids=["AR", "AR-B", "GB", "AR-B with its own basis"],
)
def test_each_field_that_is_taken_away_is_named(
    yes: Question, law: Law, place: str, bases: tuple[NamedBasis, ...]
) -> None:
    whole = asked(moved(yes, jurisdiction=place), bases=bases, agency_jurisdiction=place)
    assert decide(whole, law).missing_evidence == ()
    for number, named in enumerate(bases):
        for field in named.evidence:
            for nothing in (None, "", " \n", "--"):
                evidence = {name: value for name, value in named.evidence.items() if name != field}
                if nothing is not None:
                    evidence[field] = nothing
                less = [*bases]
                less[number] = replace(named, evidence=evidence)
                decision = decide(asked(whole, bases=tuple(less)), law)
                assert not decision.permitted
                assert "missing_evidence" in decision.reasons
                assert decision.missing_evidence == (MissingEvidence(named.basis_code, field),)


def test_argentine_bases_carry_a_live_view_for_an_hour(yes: Question, law: Law) -> None:
    decision = decide(asked(yes, from_us=yes.now_us + HOUR_US, until_us=yes.now_us + 5 * HOUR_US), law)
    assert (decision.opens_at_us, decision.not_after_us) == (yes.now_us + HOUR_US, yes.now_us + 2 * HOUR_US)


@pytest.mark.parametrize(
    ("change", "hours"),
    [
        pytest.param(lambda q: asked(q, until_us=q.now_us + HOUR_US // 4), 0.25, id="the request"),
        pytest.param(lambda q: under(q, expires_at_us=q.now_us + HOUR_US // 2), 0.5, id="the authorisation"),
        pytest.param(lambda q: q, 1, id="the law"),
    ],
)
def test_a_grant_would_end_with_the_least_of_request_authorisation_and_law(
    yes: Question, law: Law, change: Callable[[Question], Question], hours: float
) -> None:
    decision = decide(change(yes), law)
    assert decision.permitted
    assert decision.not_after_us == yes.now_us + hours * HOUR_US


def test_a_grant_would_end_with_the_cap_counted_from_now(yes: Question, tmp_path: Path) -> None:
    law = _changed(tmp_path, "GB/pack.yaml", "limits: {grant_cap: PT20M}\n")
    british = asked(moved(yes, jurisdiction="GB"), bases=GB, agency_jurisdiction="GB")
    assert decide(british, law).not_after_us == yes.now_us + HOUR_US // 3


def test_a_grant_would_open_no_earlier_than_the_terms(yes: Question, law: Law) -> None:
    decision = decide(under(yes, opens_at_us=yes.now_us + HOUR_US // 2), law)
    assert decision.opens_at_us == yes.now_us + HOUR_US // 2


def test_british_live_needs_the_acquiring_basis_that_its_row_names(yes: Question, law: Law) -> None:
    british = asked(moved(yes, jurisdiction="GB"), bases=GB, agency_jurisdiction="GB")
    assert decide(british, law).permitted
    other = asked(british, bases=(GB[0], basis("GB.RIPA.43-1-a")))
    decision = decide(other, law)
    assert decision.reasons == ("live_not_covered",)
    assert decision.refused_bases == (
        RefusedBasis("GB.RIPA.43-1-a", "live_not_covered"),
        RefusedBasis("GB.UKGDPR.6-1-f", "live_not_covered"),
    )


@pytest.mark.parametrize("code", ["AR-B.CPP.265bis", "AR-B.TANDIL.17835"])
def test_a_basis_for_recordings_or_without_a_live_time_carries_no_live_view(
    yes: Question, law: Law, code: str
) -> None:
    provincial = asked(moved(yes, jurisdiction="AR-B"), bases=AR, agency_jurisdiction="AR-B")
    provincial = with_order(provincial, "prosecutor_order", order(yes.now_us))
    assert decide(provincial, law).permitted
    more = asked(provincial, bases=(*provincial.request.bases, basis(code)))
    assert decide(more, law).reasons == ("live_not_covered",)
    assert decide(more, law).refused_bases == (RefusedBasis(code, "live_not_covered"),)


@pytest.mark.parametrize("kind", ["prosecutor_order", "judicial_order"])
def test_live_in_buenos_aires_needs_a_prosecutors_or_a_judges_document(
    yes: Question, law: Law, kind: str
) -> None:
    provincial = asked(moved(yes, jurisdiction="AR-B"), bases=AR, agency_jurisdiction="AR-B")
    assert decide(provincial, law).reasons == ("live_order_missing",)
    decision = decide(with_order(provincial, kind, order(yes.now_us)), law)
    assert decision.permitted
    assert decision.policy_version == law.jurisdictions["AR-B"].version


@pytest.mark.parametrize(
    "document",
    [
        "Fiscalía 4, OF-77/27",
        Document("", "Fiscalía 4", 0),
        Document("OF-77/27", " ", 0),
        Document("OF-77/27", "Fiscalía 4", 4_000_000_000_000_000),
    ],
    ids=["a text", "no number", "nobody", "from the future"],
)
def test_what_is_no_document_is_named_and_opens_nothing(yes: Question, law: Law, document: Any) -> None:
    provincial = asked(moved(yes, jurisdiction="AR-B"), bases=AR, agency_jurisdiction="AR-B")
    decision = decide(with_order(provincial, "prosecutor_order", document), law)
    assert decision.reasons == ("missing_evidence", "live_order_missing")
    assert decision.missing_evidence == (MissingEvidence("AR.25326.23-2", "prosecutor_order"),)


def test_a_document_the_packs_do_not_know_opens_nothing(yes: Question, law: Law) -> None:
    provincial = asked(moved(yes, jurisdiction="AR-B"), bases=AR, agency_jurisdiction="AR-B")
    decision = decide(with_order(provincial, "mayors_order", order(yes.now_us)), law)
    assert decision.reasons == ("live_order_missing",)


def test_argentina_itself_asks_for_no_such_document(yes: Question, law: Law) -> None:
    assert decide(yes, law).permitted


# Approval.


def approving(question: Question, person: Person = SARA) -> Question:
    return replace(question, action="approve", person=person)


def test_a_supervisor_who_did_not_ask_approves(yes: Question, law: Law) -> None:
    assert decide(approving(yes), law).permitted


@pytest.mark.parametrize(
    ("person", "reasons"),
    [
        (BOTH_ROLES, ("self_approval",)),
        (Person("op-1", "policia-sur", frozenset({"operator"})), ("self_approval", "approval_required")),
        (Person("op-3", "policia-sur", frozenset({"operator"})), ("approval_required",)),
        (Person("op-3", "policia-sur", frozenset()), ("approval_required",)),
        (
            Person("op-4", "policia-norte", frozenset({"supervisor"})),
            ("agency_not_listed", "other_agency"),
        ),
    ],
    ids=["both roles", "the requester", "an operator", "nobody", "another agency's supervisor"],
)
def test_nobody_else_does(yes: Question, law: Law, person: Person, reasons: tuple[str, ...]) -> None:
    decision = decide(approving(yes, person), law)
    assert (decision.permitted, decision.reasons) == (False, reasons)


def test_a_pause_grants_nothing_new_but_may_be_asked_about(yes: Question, law: Law) -> None:
    paused = moved(yes, sharing="paused")
    assert decide(paused, law).permitted
    assert decide(approving(paused), law).reasons == ("sharing_paused",)


@pytest.mark.parametrize("case", [case for case in DENIALS if case != "somebody of another agency"])
def test_what_a_request_is_denied_for_is_not_approved_either(yes: Question, law: Law, case: str) -> None:
    change, reasons = DENIALS[case]
    assert set(decide(approving(change(yes)), law).reasons) >= set(reasons)


# Tickets, and grants that are held against a change.


@pytest.mark.parametrize("action", ["ticket", "hold"])
def test_a_grant_in_force_is_kept_and_opened(yes: Question, law: Law, action: Action) -> None:
    assert decide(granted(yes, action), law).permitted


@pytest.mark.parametrize("action", ["ticket", "hold"])
def test_a_paused_camera_keeps_its_grants(yes: Question, law: Law, action: Action) -> None:
    assert decide(granted(moved(yes, sharing="paused"), action), law).permitted


@pytest.mark.parametrize("action", ["ticket", "hold"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda q: replace(q, terms=None), "authorisation_withdrawn", id="withdrawn"),
        pytest.param(lambda q: moved(q, sharing="stopped"), "authorisation_withdrawn", id="stopped"),
        pytest.param(lambda q: under(q, expires_at_us=q.now_us), "authorisation_expired", id="expired"),
        pytest.param(lambda q: moved(q, removed=True), "camera_removed", id="removed"),
        pytest.param(lambda q: under(q, agencies=frozenset()), "agency_not_listed", id="agency"),
        pytest.param(lambda q: under(q, purposes=frozenset()), "purpose_mismatch", id="purpose"),
        pytest.param(lambda q: under(q, renditions=frozenset()), "out_of_scope", id="rendition"),
        pytest.param(lambda q: moved(q, jurisdiction="GB"), "basis_out_of_jurisdiction", id="moved abroad"),
        pytest.param(
            lambda q: moved(q, jurisdiction="AR-B"), "live_order_missing", id="moved to the province"
        ),
        pytest.param(
            lambda q: under(q, schedule=weekly("UTC", (7, 0, 1440))),
            "out_of_schedule",
            id="hours",
        ),
    ],
)
def test_what_would_now_be_refused_is_refused(
    yes: Question, law: Law, action: Action, change: Callable[[Question], Question], reason: str
) -> None:
    decision = decide(change(granted(yes, action)), law)
    assert not decision.permitted
    assert decision.reasons[0] == reason


@pytest.mark.parametrize("action", ["ticket", "hold"])
@pytest.mark.parametrize(
    ("grant", "reasons"),
    [
        ({"is_open": False, "closed_reason": "ended_by_operator"}, ("ended_by_operator",)),
        ({"not_after_us": 1}, ("grant_expired",)),
        ({"approver": None}, ("approval_required",)),
        ({"approver": "op-1"}, ("self_approval",)),
        ({"operators": frozenset({"op-7"})}, ("operator_not_named",)),
    ],
    ids=["closed", "over", "unapproved", "approved by its requester", "another operator's"],
)
def test_a_grant_that_is_not_in_force_opens_nothing(
    yes: Question, law: Law, action: Action, grant: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    assert decide(granted(yes, action, **grant), law).reasons == reasons


def test_a_ticket_without_a_grant_is_denied(yes: Question, law: Law) -> None:
    decision = decide(replace(yes, action="ticket"), law)
    assert decision.reasons == ("grant_closed", "operator_not_named", "approval_required")


def test_no_ticket_is_given_on_old_knowledge_but_a_grant_is_not_closed_for_it(
    yes: Question, law: Law
) -> None:
    assert decide(replace(granted(yes), cameras_fresh=False), law).reasons == ("state_not_fresh",)
    assert decide(replace(granted(yes, "hold"), cameras_fresh=False), law).permitted


def test_an_earlier_expiry_tightens_the_grant(yes: Question, law: Law) -> None:
    held = under(granted(yes, "hold"), expires_at_us=yes.now_us + 1)
    decision = decide(held, law)
    assert (decision.permitted, decision.not_after_us) == (True, yes.now_us + 1)


# Errors.


def _changed(tmp_path: Path, file: str, more: str) -> Law:
    folder = tmp_path / "packs"
    shutil.copytree(PACKS, folder)
    with (folder / file).open("a") as opened:
        opened.write(more)
    return load_law(folder)


OVERFLOW = """
@id("AR.overflow")
@reason("never_given")
forbid (principal, action, resource)
when { context.camera_count + 9223372036854775807 > 0 };
"""


def test_a_rule_that_fails_denies_and_is_named(yes: Question, tmp_path: Path) -> None:
    # Cedar alone would skip it and permit.
    law = _changed(tmp_path, "AR/broken.cedar", OVERFLOW)
    decision = decide(yes, law)
    assert (decision.permitted, decision.reasons) == (False, ("policy_error",))
    assert "AR.overflow" in decision.errors[0]
    assert "overflow" in decision.errors[0]


def test_a_rule_that_fails_hides_no_other_reason(yes: Question, tmp_path: Path) -> None:
    law = _changed(tmp_path, "AR/broken.cedar", OVERFLOW)
    assert decide(asked(yes, camera_count=6), law).reasons == ("bulk_limit", "policy_error")


def test_a_time_zone_nobody_knows_is_an_error_that_denies(yes: Question, law: Law) -> None:
    decision = decide(under(yes, schedule=weekly("Nowhere/Land", (1, 0, 1))), law)
    assert (decision.permitted, decision.reasons) == (False, ("policy_error",))
    assert decision.errors == ("time zone `Nowhere/Land` is not known here",)


def test_facts_outside_the_schema_are_an_error_that_denies(yes: Question, law: Law) -> None:
    decision = decide(replace(yes, distance_m=2**70), law)
    assert (decision.permitted, decision.reasons) == (False, ("policy_error",))
    assert decision.errors


def test_where_no_rule_permits_and_none_forbids_the_answer_is_still_no(yes: Question, law: Law) -> None:
    empty = replace(law.jurisdictions["AR"], policies=type(law.root.policies).from_str(""), reasons={})
    lawless = replace(law, jurisdictions={**law.jurisdictions, "AR": empty})
    assert decide(yes, lawless).reasons == ("not_permitted",)
