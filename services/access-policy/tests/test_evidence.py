import pytest

from feedgate_access_policy.evidence import Document, EvidenceValue, is_document, is_evidence

NOW_US = 1_000_000


@pytest.mark.parametrize("value", ["Ley 25.326", "7", "ñ", Document("OF-1", "Fiscalía 4", NOW_US)])
def test_a_text_that_says_something_and_a_document_are_evidence(value: EvidenceValue) -> None:
    assert is_evidence(value, NOW_US)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "   ",
        "\n\t",
        "-",
        "...",
        "\u200b",
        "\u00a0",
        Document(" ", "Fiscalía 4", NOW_US),
        Document("OF-1", "--", NOW_US),
        Document("OF-1", "Fiscalía 4", NOW_US + 1),
    ],
)
def test_presence_alone_is_no_evidence(value: EvidenceValue | None) -> None:
    assert not is_evidence(value, NOW_US)


def test_a_text_is_no_document() -> None:
    assert not is_document("OF-77/27, Fiscalía 4", NOW_US)
