"""Every way a view can end or be refused has one close code, and the document names each."""

from pathlib import Path

from feedgate_relay.close_codes import CloseCode, close_code
from feedgate_relay.reasons import Reason

DOCUMENT = Path(__file__).parents[3] / "docs" / "ref" / "close-codes.md"
NEVER_CLOSE = {
    Reason.PAUSED,
    Reason.OUT_OF_HOURS,
    Reason.NOT_YET_OPEN,
    Reason.NO_PICTURES,
    Reason.NO_KEYFRAME,
    Reason.VIEWER_TOO_SLOW,
    Reason.PICTURES_LOST,
}


def test_every_reason_that_can_close_has_its_code() -> None:
    codes = {reason: close_code(reason) for reason in Reason if reason not in NEVER_CLOSE}
    assert set(codes.values()) == set(CloseCode)
    assert all(4000 <= code < 5000 for code in codes.values())
    assert close_code("grant_closed:ended_by_operator") == CloseCode.GRANT_CLOSED


def test_the_document_lists_exactly_these_codes() -> None:
    rows = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| 4")]
    assert {int(row[1]): row[2].strip(" `") for row in rows} == {
        code.value: code.name.lower() for code in CloseCode
    }
