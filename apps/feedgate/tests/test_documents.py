"""What the guides and the reference promise, held against the code."""

import re
from pathlib import Path

import pytest
import yaml

from feedgate.effective_settings import KINDS
from feedgate_access_policy import decision
from feedgate_contracts.frame.v1.frame_pb2 import NoticeCode
from feedgate_kit.settings import load_settings
from feedgate_registry.pools import load_pools
from feedgate_relay.reasons import Reason

REPOSITORY = Path(__file__).parents[3]
GUIDES = REPOSITORY / "docs" / "guide"
PACKS = REPOSITORY / "services/access-policy/src/feedgate_access_policy/packs"

AT_THE_DOOR = {
    "subprotocol_missing",
    "origin_refused",
    "ticket_missing",
    "ticket_invalid",
    "ticket_used",
    "ticket_before_start",
    "ticket_keys_unavailable",
    "ticket_use_unknown",
    "secret_refused",
    "too_many_views",
}
"""Refusals before there is a view to tell anything: close codes only."""


def first_cells(text: str) -> list[list[str]]:
    """The codes in the first cell of each row of a page's tables."""
    return [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)]


def test_every_notice_and_reason_is_explained_and_no_other() -> None:
    page = (REPOSITORY / "docs/ref/notices.md").read_text(encoding="utf-8")
    explained = [code for cell in first_cells(page) for code in cell]
    names = {value.name for value in NoticeCode.DESCRIPTOR.values} - {"NOTICE_CODE_UNSPECIFIED"}
    codes = {name.removeprefix("NOTICE_CODE_").lower() for name in names}
    assert sorted(explained) == sorted(codes | ({reason.value for reason in Reason} - AT_THE_DOOR))


def test_every_reason_of_a_decision_is_explained_to_operators_and_no_other() -> None:
    page = (GUIDES / "operator.md").read_text(encoding="utf-8")
    explained = [code for cell in first_cells(page) for code in cell]
    rules = "".join(file.read_text(encoding="utf-8") for file in PACKS.glob("*/*.cedar"))
    given = set(re.findall(r'@reason\("(\w+)"\)', rules))
    given |= {decision.POLICY_ERROR, decision.NOT_PERMITTED, decision.STATE_NOT_FRESH}
    assert sorted(explained) == sorted(given)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *REPOSITORY.glob("services/*/README.md"),
    ]
    dead = []
    for page in pages:
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8")
        ):
            linked = (page.parent / target).resolve() if target else page
            if not linked.exists() or (anchor and anchor not in anchors(linked)):
                dead.append(f"{page.name}: {target}#{anchor}")
    assert dead == []


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def services_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, with what a reader puts in: keys made as it says, and the files it names."""
    page = (GUIDES / "services.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    made: list[str] = []
    exec(code, {"print": lambda _, text: made.append(text)})  # the page's own lines
    key_id, public_key, private_key = made
    page = page.replace("3f9c2a…", key_id).replace("base64…", public_key)
    page = page.replace("base64-of-the-private-key", private_key)
    (pools,) = re.findall(r"^```yaml pools\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "pools.yaml").write_text(pools, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return page


@pytest.mark.parametrize("service", ["registry", "access-policy", "audit", "ingest", "relay"])
def test_each_service_can_be_set_up_as_its_guide_says(
    monkeypatch: pytest.MonkeyPatch, services_page: str, service: str
) -> None:
    (block,) = re.findall(rf"^## {service}\n.*?^```sh\n(.*?)^```", services_page, re.MULTILINE | re.DOTALL)
    *exports, start = block.splitlines()
    assert start == f"python -m feedgate_{service.replace('-', '_')}"
    for line in exports:
        name, value = line.removeprefix("export ").split("=", 1)
        monkeypatch.setenv(name, value)
    settings = load_settings(KINDS[service])
    assert settings.public_port != 8080, "every service has ports of its own"
    assert settings.public_port + 1 == settings.internal_port
    if service == "registry":
        assert [pool.name for pool in load_pools(Path("pools.yaml")).values()] == ["site"]


def test_the_yaml_of_the_guides_is_yaml() -> None:
    found = 0
    for guide in GUIDES.glob("*.md"):
        for block in re.findall(
            r"^```yaml[^\n]*\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            assert isinstance(yaml.safe_load(block), list)
            found += 1
    assert found >= 3
