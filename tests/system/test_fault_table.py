"""Some of `make faults`, by the same program and the same judge: one of each kind, the targets in turn."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.machine import REPOSITORY
from tests.servers.needs import require
from tests.servers.process import ServerProcess

NEEDS = ("isolation", "kafka", "postgres", "faketime")
FAULTS = (
    "registry: SIGKILL",
    "registry: clock +1 h",
    "access-policy: half-open",
    "ingest: SIGKILL",
    "relay: network cut",
    "audit: slow commits",
    "kafka-1: SIGKILL",
    "postgres: network cut",
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
        yield json.loads(written.read_text(encoding="utf-8"))
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
    assert (verdict["stop_within_s"] or 0) <= DARK_S


def test_owners_stopped_and_views_went_dark(verdicts: dict[str, Any]) -> None:
    assert sum(verdict["stops"] for verdict in verdicts.values()) >= len(FAULTS)
    for fault in ("registry: SIGKILL", "registry: clock +1 h", "postgres: network cut"):
        assert verdicts[fault]["dark_within_s"] is not None
        assert verdicts[fault]["back_in_s"] is not None
