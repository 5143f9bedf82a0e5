"""The list of agencies as an operator writes it."""

from pathlib import Path

import pytest

from feedgate_kit.agencies import AgenciesError, Agency, load_agencies

METRO = (
    "- {id: metro-police, name: Metro Police, jurisdiction: AR-B, issuer: 'https://login.example/metro'}\n"
)
HARBOUR = "- {id: harbour, name: Harbour, jurisdiction: GB, issuer: 'https://login.example/harbour'}\n"


def test_agencies_by_id_in_the_files_order(tmp_path: Path) -> None:
    path = tmp_path / "agencies.yaml"
    path.write_text(METRO + HARBOUR)
    agencies = load_agencies(path)
    assert list(agencies) == ["metro-police", "harbour"]
    assert agencies["metro-police"] == Agency(
        id="metro-police", name="Metro Police", jurisdiction="AR-B", issuer="https://login.example/metro"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "list of one or more"),
        ("{}", "list of one or more"),
        ("- [", "cannot be read"),
        (METRO + METRO, "named twice"),
        (METRO.replace("metro-police,", "Metro,"), "`id`"),
        (METRO.replace("metro-police,", "metro.police,"), "`id`"),
        (METRO.replace("metro-police,", "metro/..,"), "`id`"),
        (METRO.replace("metro-police,", "-metro,"), "`id`"),
        (METRO.replace("metro-police,", f"{'m' * 49},"), "`id`"),
        (METRO.replace("AR-B", "Argentina"), "`jurisdiction`"),
        (METRO.replace("name: Metro Police", "name: ' '"), "`name`"),
        (METRO.replace("name:", "title:"), "entry 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_that_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "agencies.yaml"
    path.write_text(text)
    with pytest.raises(AgenciesError) as raised:
        load_agencies(path)
    assert said in str(raised.value)
    assert "allowed: " in str(raised.value)
    assert str(raised.value).endswith(" (docs/guide/one-box.md)")
    assert "\n" not in str(raised.value)
