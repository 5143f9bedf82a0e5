from pathlib import Path

import pytest

from feedgate_registry.jurisdictions import PacksFolderError, load_jurisdictions


def pack(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "pack.yaml").write_text(text)


def test_a_packs_folder_names_its_jurisdictions_and_their_parents(tmp_path: Path) -> None:
    pack(tmp_path, "root", "{id: root, version: 1, limits: {max_cameras: 5}}")
    pack(tmp_path, "BR", "{id: BR, parent: root, version: 1}")
    pack(tmp_path, "BR-SP", "{id: BR-SP, parent: BR, version: 7}")
    pack(tmp_path, "_draft", "{id: CL, parent: root, version: 1}")
    (tmp_path / "README").write_text("no pack")
    assert load_jurisdictions(tmp_path) == {"BR": None, "BR-SP": "BR"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{id: root, version: 1}", "holds no jurisdiction"),
        ("{parent: root}", "`id`"),
        ("{id: brazil}", "`id`"),
        ("[]", "`: saw `an array`; allowed: an object"),
        ("{id: [", "expected"),
    ],
)
def test_a_folder_that_tells_none_is_an_error_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    pack(tmp_path, "BR", text)
    with pytest.raises(PacksFolderError, match=says) as refused:
        load_jurisdictions(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert str(refused.value).endswith(" (docs/ref/settings.md)")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PacksFolderError, match="holds no jurisdiction"):
        load_jurisdictions(tmp_path / "packs")
