import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from feedgate_access_policy.app import create_app
from feedgate_access_policy.bases_source import PACKS, differing, rows_of, write
from feedgate_access_policy.jurisdiction import Law, load_law
from feedgate_access_policy.pack import PackError, load_packs
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_contracts.jurisdictions import packaged_jurisdictions
from feedgate_kit.errors import FeedgateError

CHILD_RULE = '@id("AR-B.other")\n@reason("other")\n'


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    shutil.copytree(PACKS, folder)
    return folder


def test_the_packs_are_the_root_argentina_with_buenos_aires_and_the_united_kingdom(law: Law) -> None:
    assert {name: place.chain for name, place in law.jurisdictions.items()} == {
        "AR": ("root", "AR"),
        "AR-B": ("root", "AR", "AR-B"),
        "GB": ("root", "GB"),
    }


def test_a_place_has_the_bases_of_its_own_pack_and_of_its_parents_only(law: Law) -> None:
    assert "AR.25326.23-2" in law.jurisdictions["AR-B"].bases
    assert "AR-B.CPP.265bis" in law.jurisdictions["AR-B"].bases
    assert "AR-B.CPP.265bis" not in law.jurisdictions["AR"].bases
    assert not set(law.jurisdictions["AR"].bases) & set(law.jurisdictions["GB"].bases)


def test_only_the_root_permits_and_it_does_so_once() -> None:
    packs, _ = load_packs(PACKS)
    permits = [rule.rule_id for pack in packs.values() for rule in pack.rules if rule.permits]
    assert permits == ["root.named_by_owner_and_law"]


def test_registry_takes_cameras_in_exactly_the_jurisdictions_that_have_a_pack(law: Law) -> None:
    parents = {name: place.chain[-2] for name, place in law.jurisdictions.items()}
    assert packaged_jurisdictions() == {
        name: None if parent == "root" else parent for name, parent in parents.items()
    }


def test_versions_name_every_pack_of_the_chain_and_change_with_any_byte(law: Law, packs: Path) -> None:
    assert law.jurisdictions["AR-B"].version.startswith("root@2/AR@1/AR-B@1+")
    with (packs / "AR" / "pack.yaml").open("a") as file:
        file.write("# a remark\n")
    changed = load_law(packs)
    assert changed.jurisdictions["AR"].version != law.jurisdictions["AR"].version
    assert changed.jurisdictions["AR-B"].version != law.jurisdictions["AR-B"].version
    assert changed.jurisdictions["GB"].version == law.jurisdictions["GB"].version


def test_limits_are_the_least_along_the_chain(packs: Path) -> None:
    with (packs / "AR" / "pack.yaml").open("a") as file:
        file.write("limits:\n  max_cameras: 2\n  live_initial: PT2H\n")
    law = load_law(packs)
    for name in ("AR", "AR-B"):
        assert law.jurisdictions[name].limits.max_cameras == 2
        assert law.jurisdictions[name].limits.live_initial_us == 3_600_000_000  # the root's hour is less
    assert law.jurisdictions["GB"].limits.max_cameras == 5


def _append(file: str, text: str) -> Callable[[Path], None]:
    def change(packs: Path) -> None:
        with (packs / file).open("a") as opened:
            opened.write(text)

    return change


def _replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(packs: Path) -> None:
        text = (packs / file).read_text()
        assert old in text
        (packs / file).write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "file", "says"),
    [
        pytest.param(
            _append("AR-B/live.cedar", '@id("AR-B.mine")\npermit (principal, action, resource);'),
            "AR-B/live.cedar",
            "only `root` may",
            id="a child permits",
        ),
        pytest.param(
            _append(
                "AR/late.cedar",
                '@id("AR.x")\n@reason("forbid")\npermit\n(principal, action, resource)\nwhen { false };',
            ),
            "AR/late.cedar",
            "only `root` may",
            id="a child permits nothing, but permits",
        ),
        pytest.param(
            _append("AR-B/live.cedar", CHILD_RULE + "forbid (principal, action, resource"),
            "AR-B/live.cedar",
            "unexpected end",
            id="not Cedar",
        ),
        pytest.param(
            _append(
                "AR-B/live.cedar", CHILD_RULE + "forbid (principal, action, resource) when { context.nope };"
            ),
            "AR-B/live.cedar",
            "nope",
            id="a fact that does not exist",
        ),
        pytest.param(
            _append("AR-B/live.cedar", CHILD_RULE + "forbid (principal == ?principal, action, resource);"),
            "AR-B/live.cedar",
            "template",
            id="a template",
        ),
        pytest.param(
            _append("AR-B/live.cedar", '@id("AR-B.other")\nforbid (principal, action, resource);'),
            "AR-B/live.cedar",
            "@reason",
            id="no reason code",
        ),
        pytest.param(
            _append("AR-B/live.cedar", '@reason("other")\nforbid (principal, action, resource);'),
            "AR-B/live.cedar",
            "@id",
            id="no id",
        ),
        pytest.param(
            _append(
                "AR-B/live.cedar", '@id("GB.other")\n@reason("other")\nforbid (principal, action, resource);'
            ),
            "AR-B/live.cedar",
            "begins with `AR-B.`",
            id="another pack's id",
        ),
        pytest.param(
            _append(
                "AR-B/live.cedar",
                '@id("AR-B.live_order")\n@reason("b")\nforbid (principal, action, resource);',
            ),
            "AR-B",
            "twice",
            id="an id twice",
        ),
        pytest.param(
            _append("GB/pack.yaml", "colour: blue\n"), "GB/pack.yaml", "colour", id="an unknown setting"
        ),
        pytest.param(_append("GB/pack.yaml", ": :"), "GB/pack.yaml", "", id="not YAML"),
        pytest.param(
            _append("GB/pack.yaml", "limits: {max_view: an hour}\n"),
            "GB/pack.yaml",
            "ISO 8601",
            id="no duration",
        ),
        pytest.param(
            _append("GB/pack.yaml", "documents: {prosecutor_letter: a letter}\n"),
            "GB/pack.yaml",
            "only `root`",
            id="a child's own kind of document",
        ),
        pytest.param(
            _replace("GB/pack.yaml", "id: GB", "id: FR"), "GB/pack.yaml", "folder's name", id="another id"
        ),
        pytest.param(
            _replace("GB/pack.yaml", "parent: root", "parent: EU"),
            "GB/pack.yaml",
            "no pack here",
            id="no such parent",
        ),
        pytest.param(
            _replace("AR-B/pack.yaml", "parent: AR", "parent: GB"),
            "AR-B/pack.yaml",
            "no prefix",
            id="a sibling as parent",
        ),
        pytest.param(
            _replace("AR/pack.yaml", "parent: root", "parent: AR-B"),
            "AR/pack.yaml",
            "no prefix",
            id="a child as parent",
        ),
        pytest.param(
            _replace("root/pack.yaml", "  max_view: PT1H", ""),
            "root/pack.yaml",
            "max_view",
            id="a limit the root forgets",
        ),
        pytest.param(
            _replace("AR/bases.jsonl", '"disclose"', '"maybe"'),
            "AR/bases.jsonl` line 1",
            "side",
            id="an unknown side",
        ),
        pytest.param(
            _replace("AR/bases.jsonl", '"PT1H"', '"one hour"'),
            "AR/bases.jsonl` line 1",
            "ISO 8601",
            id="no time",
        ),
        pytest.param(_append("AR/bases.jsonl", "{\n"), "AR/bases.jsonl` line 5", "JSON", id="not JSON"),
        pytest.param(
            lambda packs: shutil.copy(packs / "GB" / "bases.jsonl", packs / "AR" / "bases.jsonl"),
            "AR/bases.jsonl` line 1",
            "own jurisdiction",
            id="another place's bases",
        ),
        pytest.param(
            _append("AR/notes.txt", "remember\n"), "AR/notes.txt", "nothing else", id="a stray file"
        ),
        pytest.param(
            _append("root/schema.cedarschema", "entity ;"),
            "root/schema.cedarschema",
            "",
            id="a broken schema",
        ),
        pytest.param(
            lambda packs: (packs / "GB" / "pack.yaml").unlink(), "GB/pack.yaml", "", id="no manifest"
        ),
    ],
)
def test_a_malformed_pack_does_not_load_and_is_named_in_one_line(
    packs: Path, change: Callable[[Path], None], file: str, says: str
) -> None:
    change(packs)
    with pytest.raises(PackError) as refused:
        load_law(packs)
    assert file in str(refused.value)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_word_permit_does_no_harm_where_nothing_is_permitted(packs: Path) -> None:
    rule = '@id("AR.x")\n@reason("no_permit")\nforbid (principal, action, resource);'
    _append("AR/words.cedar", f"// permit (principal, action, resource);\n{rule}")(packs)
    assert load_law(packs).jurisdictions["AR"].reasons["AR.x"] == "no_permit"


def test_the_service_does_not_start_with_a_malformed_pack(
    packs: Path, settings: AccessPolicySettings
) -> None:
    _append("AR-B/live.cedar", '@id("AR-B.mine")\npermit (principal, action, resource);')(packs)
    with pytest.raises(
        FeedgateError, match=r"`AR-B/live\.cedar`: rule `AR-B\.mine` permits; only `root` may"
    ):
        # Ports are of no use to a service that does not start.
        create_app(settings.model_copy(update={"packs_folder": packs}), None)  # type: ignore[arg-type]


def _table() -> str:
    rows = [
        line
        for name in ("GB", "AR", "AR-B")
        for line in (PACKS / name / "bases.jsonl").read_text().splitlines()
    ]
    return "\n".join([*rows, json.dumps({"jurisdiction": "EU", "basis_code": "EU.X"})]) + "\n"


def test_a_packs_rows_are_the_tables_rows_of_its_jurisdiction_byte_for_byte(packs: Path) -> None:
    assert differing(_table(), packs) == []
    changed = _table().replace("Fiscal", "Fiscalía", 1)
    assert differing(changed, packs) == ["AR-B"]
    write(changed, packs)
    assert differing(changed, packs) == []
    assert (packs / "AR-B" / "bases.jsonl").read_text() == rows_of(changed, "AR-B")


def test_a_row_that_the_table_gained_is_missed(packs: Path) -> None:
    assert differing(_table() + json.dumps({"jurisdiction": "GB"}) + "\n", packs) == ["GB"]


def test_break_glass_is_in_no_pack(law: Law) -> None:
    assert not law.knows_basis("SYS.BREAKGLASS")
    assert "SYS.BREAKGLASS" in law.unavailable
