"""How strongly somebody signed in decides what they may do, where their agency asks for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from feedgate_access_policy.decision import decide
from feedgate_access_policy.jurisdiction import Law, load_law
from feedgate_access_policy.pack import packaged_packs
from feedgate_access_policy.question import Action, GrantInForce, Login, Question

from .conftest import AGENCIES, HOUR_US, ON_SQLITE_ONLY, MakeQuestion, Stand

STRONG = frozenset({"mfa", "phr"})


def asked(question: Question, action: Action, login: Login) -> Question:
    in_force = GrantInForce(
        is_open=True,
        closed_reason="",
        operators=frozenset({"op-1"}),
        approver="op-2",
        opens_at_us=question.now_us,
        not_after_us=question.now_us + HOUR_US // 2,
    )
    person = question.person
    if action == "approve":
        person = replace(person, pseudonym="op-2", roles=frozenset({"supervisor"}))
    grant = None if action in {"request", "approve"} else in_force
    return replace(question, action=action, person=person, grant=grant, login=login)


@pytest.mark.parametrize(
    ("action", "acr", "accepted", "reasons"),
    [
        ("approve", "mfa", STRONG, ()),
        ("approve", "password", STRONG, ("login_too_weak",)),
        ("approve", "", STRONG, ("login_too_weak",)),
        ("approve", "", frozenset(), ()),
        ("ticket", "phr", STRONG, ()),
        ("ticket", "password", STRONG, ("login_too_weak",)),
        ("ticket", "password", frozenset(), ()),
        # To ask shows nothing, and what is asked by the service itself nobody signed in for.
        ("request", "password", STRONG, ()),
        ("hold", "", STRONG, ()),
    ],
)
def test_approving_and_watching_want_a_login_the_agency_accepts(
    question: MakeQuestion,
    law: Law,
    action: Action,
    acr: str,
    accepted: frozenset[str],
    reasons: tuple[str, ...],
) -> None:
    login = Login(acr, accepted)
    decision = decide(asked(question(), action, login), law)
    assert decision.reasons == reasons
    assert decision.permitted is (not reasons)
    assert decision.weak_login == (login if reasons else None)


def test_a_pack_can_ask_for_a_login_by_itself(question: MakeQuestion, tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    for source in walk(Path(str(packaged_packs()))):
        target = packs / source.relative_to(Path(str(packaged_packs())))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (packs / "AR" / "logins.cedar").write_text(
        '@id("AR.second_factor")\n@reason("second_factor_missing")\n'
        'forbid (principal, action == Action::"ticket", resource) unless { context.acr == "mfa" };\n',
        encoding="utf-8",
    )
    law = load_law(packs)
    weak, strong = (asked(question(), "ticket", Login(acr)) for acr in ("password", "mfa"))
    assert decide(weak, law).reasons == ("second_factor_missing",)
    assert decide(strong, law).permitted


def walk(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


@pytest.fixture
def strict_agency(monkeypatch: pytest.MonkeyPatch) -> None:
    """policia-sur accepts a second factor and nothing less."""
    strict = AGENCIES["policia-sur"].model_copy(update={"acr": ("mfa",)})
    monkeypatch.setitem(AGENCIES, "policia-sur", strict)


def says_what_is_needed(answer: httpx.Response, seen: str) -> bool:
    problem = answer.json()
    assert answer.status_code == 403
    assert problem["reasons"] == ["login_too_weak"]
    assert problem["login"] == {"seen": seen, "needed": ["mfa"]}
    assert problem["detail"].endswith(f"Signed in as `{seen}`; needed: `mfa`")
    assert answer.headers["www-authenticate"].endswith(
        'error="insufficient_user_authentication", acr_values="mfa"'
    )
    return True


@ON_SQLITE_ONLY
@pytest.mark.usefixtures("strict_agency")
async def test_a_refusal_says_how_to_sign_in_and_is_on_file(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    olga = await stand.person("olga", "operator", acr="password")
    request = await stand.requested(olga, camera)
    weak = await stand.person("sara", "supervisor", acr="password")
    assert says_what_is_needed(await stand.approve(request["id"], weak), "password")
    unsaid = await stand.person("sara", "supervisor")
    assert says_what_is_needed(await stand.approve(request["id"], unsaid), "")
    sara = await stand.person("sara", "supervisor", acr="mfa")
    [grant] = (await stand.approve(request["id"], sara)).json()["grants"]
    assert says_what_is_needed(await stand.ticket(grant["id"], olga), "password")
    strong = await stand.person("olga", "operator", acr="mfa")
    assert (await stand.ticket(grant["id"], strong)).status_code == 201
    refused = await stand.audit_records("ticket.refused")
    issued = await stand.audit_records("ticket.issued")
    assert [record.detail["acr"] for record in (*refused, *issued)] == ["password", "mfa"]
    await stand.review()
    assert (await stand.grant(grant["id"]))["phase"] == "open"
