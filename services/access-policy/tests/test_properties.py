"""What holds of every question, whatever it is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedgate_access_policy.camera import Camera, Terms
from feedgate_access_policy.decision import Decision, MissingEvidence, decide
from feedgate_access_policy.evidence import Document
from feedgate_access_policy.jurisdiction import Jurisdiction, load_law
from feedgate_access_policy.pack import packaged_packs
from feedgate_access_policy.question import AccessRequest, Action, GrantInForce, NamedBasis, Person, Question

from .conftest import weekly

LAW = load_law(packaged_packs())
SAME_LAW = load_law(packaged_packs())

untimed = settings(deadline=None, derandomize=True)
"""A busy machine is no failure, and every run asks the same questions."""

NOW_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000

AGENCIES = st.sampled_from(["policia-sur", "policia-norte"])
PURPOSES = st.sampled_from(["investigate", "vital_interest"])
MOMENTS = st.integers(-30, 30).map(lambda hours: NOW_US + hours * HOUR_US)
CODES = [code for place in ("AR-B", "GB") for code in LAW.jurisdictions[place].bases]


def mostly(good: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """So that permits are not too rare to say anything about: a question has some thirty of these."""
    return st.sampled_from(range(16)).flatmap(lambda number: other if number == 15 else st.just(good))


def evidence_of(code: str) -> st.SearchStrategy[dict[str, Any]]:
    row = LAW.basis(code)
    required = [] if row is None else row.required_evidence
    whole = {field: mostly("as the file says", st.sampled_from(["", "-"])) for field in required}
    order = st.one_of(st.just(Document("OF-1", "Fiscalía 4", 1)), st.just("a letter"))
    return st.fixed_dictionaries(whole, optional={"prosecutor_order": order})


def named(code: str) -> st.SearchStrategy[NamedBasis]:
    return evidence_of(code).map(lambda evidence: NamedBasis(code, evidence))


BASES = mostly(
    ["AR.25326.5-2-b", "AR.25326.23-2"],
    st.lists(st.sampled_from([*CODES, "SYS.BREAKGLASS", "ZZ.X"]), unique=True, max_size=4),
).flatmap(lambda codes: st.tuples(*(named(code) for code in codes)))


def people(pseudonym: str) -> st.SearchStrategy[Person]:
    return st.builds(
        Person,
        mostly(pseudonym, st.sampled_from(["op-1", "op-2"])),
        mostly("policia-sur", AGENCIES),
        mostly(
            frozenset({"operator", "supervisor"}), st.frozensets(st.sampled_from(["operator", "supervisor"]))
        ),
    )


SCHEDULES = mostly(
    None,
    st.builds(
        lambda zone, day: weekly(zone, (day, 0, 1440)),
        st.sampled_from(["UTC", "Nowhere/Land"]),
        st.integers(1, 7),
    ),
)
TERMS = st.builds(
    Terms,
    st.just("auth-1"),
    mostly(frozenset({"policia-sur"}), st.frozensets(AGENCIES)),
    mostly(frozenset({"investigate"}), st.frozensets(PURPOSES)),
    mostly(frozenset({"original"}), st.just(frozenset())),
    SCHEDULES,
    mostly(NOW_US - HOUR_US, MOMENTS),
    mostly(NOW_US + 99 * HOUR_US, MOMENTS),
)
CAMERAS = st.builds(
    Camera,
    camera_id=st.just("camera-1"),
    version=st.just(1),
    owner=st.just("owner-hash"),
    sharing=mostly("on", st.sampled_from(["paused", "stopped"])),
    removed=mostly(False, st.just(True)),
    jurisdiction=mostly("AR", st.sampled_from(["AR-B", "GB", "BR"])),
    longitude=st.just(0.0),
    latitude=st.just(0.0),
    bearing_degrees=st.just(0.0),
    field_of_view_degrees=st.just(60.0),
    terms=st.just(()),
)
REQUESTS = st.builds(
    AccessRequest,
    request_id=st.just("request-1"),
    requester=people("op-1"),
    agency_jurisdiction=mostly("AR-B", st.sampled_from(["AR", "GB", None])),
    purpose=mostly("investigate", PURPOSES),
    bases=BASES,
    from_us=mostly(NOW_US, MOMENTS),
    until_us=mostly(NOW_US + 2 * HOUR_US, MOMENTS),
    camera_count=mostly(1, st.integers(1, 30)),
    longitude=st.just(0.0),
    latitude=st.just(0.0),
)
GRANTS = st.builds(
    lambda closed, operators, approver, opens_at_us, not_after_us: GrantInForce(
        closed == "", closed, operators, approver, opens_at_us, not_after_us
    ),
    mostly("", st.just("ended_by_operator")),
    mostly(frozenset({"op-1"}), st.just(frozenset())),
    mostly("op-9", st.sampled_from(["op-1", None])),
    mostly(NOW_US - HOUR_US, MOMENTS),
    mostly(NOW_US + HOUR_US, MOMENTS),
)


ACTIONS: tuple[Action, ...] = get_args(Action)


@st.composite
def questions(draw: st.DrawFn, actions: Sequence[Action] = ACTIONS) -> Question:
    action = draw(st.sampled_from(actions))
    return Question(
        action=action,
        person=draw(people("op-2" if action == "approve" else "op-1")),
        camera_id="camera-1",
        camera=draw(mostly(True, st.just(False)).flatmap(lambda known: CAMERAS if known else st.none())),
        terms=draw(mostly(True, st.just(False)).flatmap(lambda known: TERMS if known else st.none())),
        request=draw(REQUESTS),
        grant=draw(GRANTS) if action in {"ticket", "hold"} else None,
        distance_m=draw(mostly(100, st.integers(0, 5_000))),
        cameras_fresh=draw(mostly(True, st.just(False))),
        now_us=NOW_US,
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_a_permit_has_everything_that_a_permit_needs(action: Action) -> None:
    permits = 0

    @untimed
    @given(questions([action]))
    def ask(question: Question) -> None:
        nonlocal permits
        decision = decide(question, LAW)
        assert decision.permitted == (not decision.reasons)
        if decision.permitted:
            permits += 1
            check_permit(question, decision)

    ask()
    assert permits >= 5, "too few to say anything"


def check_permit(question: Question, decision: Decision) -> None:
    assert decision.errors == ()
    assert decision.missing_evidence == ()
    assert decision.refused_bases == ()
    camera, terms, request = question.camera, question.terms, question.request
    assert camera is not None
    assert terms is not None
    assert not camera.removed
    assert camera.sharing != "stopped"
    assert question.person.agency == request.requester.agency
    assert question.person.agency in terms.agencies
    assert request.purpose in terms.purposes
    assert terms.expires_at_us > NOW_US
    rows = [LAW.basis(each.basis_code) for each in request.bases]
    assert {row.side for row in rows if row is not None} == {"disclose", "acquire"}
    prefixes = {row.jurisdiction for row in rows if row is not None}
    assert all(camera.jurisdiction == each or camera.jurisdiction.startswith(f"{each}-") for each in prefixes)
    if camera.jurisdiction == "AR-B":
        assert any(isinstance(each.evidence.get("prosecutor_order"), Document) for each in request.bases)
    if question.action != "hold":
        assert question.cameras_fresh
    if question.action == "approve":
        assert question.person.pseudonym != request.requester.pseudonym
        assert "supervisor" in question.person.roles
        assert camera.sharing == "on"
    if question.action in {"request", "approve"}:
        assert request.camera_count <= 5
        assert decision.not_after_us - decision.opens_at_us <= HOUR_US
        assert NOW_US <= decision.opens_at_us < decision.not_after_us <= terms.expires_at_us
        assert decision.not_after_us <= request.until_us


@untimed
@given(questions(), st.data())
def test_taking_away_any_evidence_denies_and_names_it(question: Question, data: st.DataObject) -> None:
    fields = [
        (number, field)
        for number, each in enumerate(question.request.bases)
        for field in each.evidence
        if (row := LAW.basis(each.basis_code)) is not None and field in row.required_evidence
    ]
    if not fields:
        return
    number, field = data.draw(st.sampled_from(fields))
    bases = list(question.request.bases)
    rest = {name: value for name, value in bases[number].evidence.items() if name != field}
    bases[number] = replace(bases[number], evidence=rest)
    changed = replace(question, request=replace(question.request, bases=tuple(bases)))
    decision = decide(changed, LAW)
    assert not decision.permitted
    place = LAW.jurisdictions.get(question.camera.jurisdiction) if question.camera else None
    if place is not None and bases[number].basis_code in place.bases:
        assert MissingEvidence(bases[number].basis_code, field) in decision.missing_evidence


CONDITIONS = [
    "true",
    "context.camera_count > 2",
    'context.purpose == "vital_interest"',
    "resource.known",
    "context.documents.isEmpty()",
    'principal.roles.contains("supervisor")',
    "context has terms && context.terms.in_schedule",
    "context.camera_count * 9223372036854775807 > 0",  # fails on two cameras and more
]


def child_of(parent: Jurisdiction, conditions: list[str], tighter: Callable[[int], int]) -> Jurisdiction:
    """A pack that could be loaded below `parent`: more rules that forbid, limits that are no greater."""
    text = "\n".join(
        f"forbid (principal, action, resource) when {{ {condition} }};" for condition in conditions
    )
    policies = parent.policies.with_added_str(text)
    names = {f"policy{number}": "child" for number in range(len(conditions))}
    limits = replace(
        parent.limits,
        **{
            name: tighter(getattr(parent.limits, name))
            for name in ("max_cameras", "live_initial_us", "grant_cap_us")
        },
    )
    return replace(
        parent, name="child", policies=policies, limits=limits, reasons={**parent.reasons, **names}
    )


@untimed
@given(
    question=questions(),
    conditions=st.lists(st.sampled_from(CONDITIONS), max_size=3),
    part=st.sampled_from([1.0, 0.5, 0.0]),
)
def test_a_child_pack_never_turns_a_denial_into_a_permit(
    question: Question, conditions: list[str], part: float
) -> None:
    place = question.camera.jurisdiction if question.camera else "AR"
    parent = LAW.jurisdictions.get(place)
    if parent is None:
        return
    child = child_of(parent, conditions, lambda value: round(value * part))
    with_child = replace(LAW, jurisdictions={**LAW.jurisdictions, place: child})
    before, after = decide(question, LAW), decide(question, with_child)
    assert before.permitted or not after.permitted
    assert not after.permitted or after.not_after_us <= before.not_after_us


@untimed
@given(questions())
def test_any_error_denies(question: Question) -> None:
    place = question.camera.jurisdiction if question.camera else "AR-B"
    parent = LAW.jurisdictions.get(place)
    if parent is None:
        return
    failing = parent.policies.with_added_str(
        "forbid (principal, action, resource) when { context.now_us * 9223372036854775807 > 0 };"
    )
    broken = replace(LAW, jurisdictions={**LAW.jurisdictions, place: replace(parent, policies=failing)})
    decision = decide(question, broken)
    assert not decision.permitted
    if question.camera is not None:
        assert decision.reasons[-1] == "policy_error"
        assert decision.errors


@untimed
@given(questions())
def test_the_answer_depends_on_nothing_but_the_question(question: Question) -> None:
    assert decide(question, LAW) == decide(question, SAME_LAW)


def test_a_policy_set_can_be_told_from_another() -> None:
    """Guards the helper above: an added rule is really there."""
    parent = LAW.jurisdictions["AR"]
    assert len(child_of(parent, ["true"], round).policies) == len(parent.policies) + 1
