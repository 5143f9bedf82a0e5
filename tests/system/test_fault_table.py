"""Some of `make faults`, by the same program and the same judge: one of each kind, each service and server once."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.machine import REPOSITORY
from tests.servers.needs import require
from tests.servers.process import ServerProcess

NEEDS = ("isolation", "kafka", "postgres", "faketime")
ALL_DARK = (
    "registry: SIGKILL",
    "access-policy: half-open",
    "access-policy: clock +1 h",
)
"""In which pictures go on coming, and nobody can vouch for what owners want."""
CUT_OFF = "relay: half-open to Kafka"
"""In which neither comes: whichever is missed first, viewers are told that."""
FAULTS = (
    *ALL_DARK,
    CUT_OFF,
    "registry: refused commits",
    "audit: slow commits",
    "ingest: clock -1 h",
    "kafka-2: SIGSTOP 15 s",
    "postgres: disk full",
    "issuer: network cut",
)
DARK_S = 5.0
RUN_S = 900.0
"""Three minutes on two cores of one's own."""

pytestmark = [pytest.mark.needs(*NEEDS), pytest.mark.timeout(RUN_S + 60)]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """By fault, what the program wrote down of it."""
    for need in NEEDS:
        require(need)
    folder = tmp_path_factory.mktemp("faults")
    written = folder / "verdicts.json"
    only = [word for fault in FAULTS for word in ("--only", fault)]
    command = [
        "env",
        f"--chdir={REPOSITORY}",
        sys.executable,
        "-m",
        "tests.faults",
        "--json",
        str(written),
        *only,
    ]
    program = ServerProcess("faults", command, folder / "faults.log")
    program.start()
    try:
        program.wait(RUN_S)
        assert written.exists(), program.last_words()
        document = json.loads(written.read_text(encoding="utf-8"))
        yield {verdict["fault"]: verdict for verdict in document["verdicts"]}
    finally:
        program.kill()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_may_never_happen_does_not(fault: str, verdicts: dict[str, Any]) -> None:
    verdict = verdicts[fault]
    assert verdict["outside"] == []
    assert verdict["withdrawals_lost"] == []
    assert verdict["audit_lost"] == []
    assert verdict["notices_missing"] == []
    assert verdict["blind"] == []
    assert (verdict["dark_within_s"] or 0) <= DARK_S
    assert (verdict["bounded_stop_s"] or 0) <= DARK_S


@pytest.mark.parametrize("fault", FAULTS)
def test_an_owner_stopped_meanwhile(fault: str, verdicts: dict[str, Any]) -> None:
    assert verdicts[fault]["stops"] >= 1


def test_nothing_is_vouched_for_while_no_stop_can_be_written(verdicts: dict[str, Any]) -> None:
    assert verdicts["registry: refused commits"]["dark_after_s"] is not None


@pytest.mark.parametrize("fault", ALL_DARK)
def test_views_went_dark_for_want_of_a_right(fault: str, verdicts: dict[str, Any]) -> None:
    assert verdicts[fault]["dark_within_s"] is not None


@pytest.mark.parametrize("fault", [*ALL_DARK, CUT_OFF])
def test_pictures_stopped_and_came_back(fault: str, verdicts: dict[str, Any]) -> None:
    assert verdicts[fault]["back_in_s"] is not None
