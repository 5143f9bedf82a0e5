"""`feedgate up` as its owner meets it: first start, refusals, kills, restarts."""

import asyncio
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from feedgate_client import FeedgateClient, Notice, Picture, RefusedError
from feedgate_kit.clock import SystemClock
from feedgate_tools.demo.story import eventually
from feedgate_tools.issuer import DevelopmentIssuer
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.system.one_box import AGENCY, FEEDGATE, OneBox
from tests.system.promql import watched

pytestmark = pytest.mark.timeout(240)

RUN_TIMEOUT_S = 60.0


@pytest.fixture
async def issuer() -> AsyncIterator[DevelopmentIssuer]:
    async with DevelopmentIssuer(SystemClock(), agency=AGENCY) as running:
        yield running


@pytest.fixture
def box(tmp_path: Path, issuer: DevelopmentIssuer) -> Iterator[OneBox]:
    made = OneBox(tmp_path / "box", issuer)
    yield made
    if made.starts:
        made.process.end()


def feedgate(*arguments: str | Path, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end: status, output, errors."""
    done = subprocess.run(
        [FEEDGATE, *arguments],
        env=os.environ if environment is None else environment,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def test_a_first_start_makes_a_private_folder_and_serves_two_ports(
    tmp_path: Path, issuer: DevelopmentIssuer
) -> None:
    data_home = tmp_path / "data-home"
    box = OneBox(tmp_path / "box", issuer, {"XDG_DATA_HOME": str(data_home)}, names_data=False)
    box.start_ready()
    try:
        assert stat.S_IMODE(box.data.stat().st_mode) == 0o700
        assert not [path for path in box.data.rglob("*") if path.is_file() and is_open_to_others(path)]
        assert {path.name for path in (box.data / "keys").iterdir()} == {
            "operator-pseudonym.secret",
            "owner-hash.secret",
            "pool.x25519",
            "services.pem",
            "ticket.pem",
        }
        async with httpx.AsyncClient() as http:
            for origin in (box.public, box.internal):
                assert (await http.get(f"{origin}/healthz")).json() == {"alive": True}
                assert (await http.get(f"{origin}/readyz")).json() == {"ready": True}
            page = (await http.get(f"{box.internal}/metrics")).text
            shown = {family.name for family in text_string_to_metric_families(page)}
            assert {re.sub("_(bucket|sum|count|total)$", "", name) for name in watched() - {"up"}} <= shown
            for path in ("/metrics", "/internal/v1/ticket-keys"):
                assert (await http.get(f"{box.public}{path}")).status_code == 404
        status, output, errors = feedgate("up", "--data", box.data, environment=box.environment)
        assert (status, output) == (2, "")
        assert (
            errors == f"feedgate: `{box.data}` is in use by another `feedgate up` (docs/guide/one-box.md)\n"
        )
    finally:
        assert box.stop() == 0
    assert box.log_lines()[-1]["event"] == "stopping"


def is_open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


@pytest.mark.parametrize("face", ["PUBLIC", "INTERNAL"])
async def test_a_taken_port_is_one_line_that_names_the_setting(box: OneBox, face: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = box.environment | {f"FEEDGATE_UP_{face}_PORT": str(port)}
        status, output, errors = feedgate("up", "--data", box.data, environment=environment)
    assert (status, output) == (2, "")
    assert errors == (
        f"feedgate: FEEDGATE_UP_{face}_PORT: port {port} of 127.0.0.1 is taken by another process;"
        " allowed: another, or 0 for any free one (docs/ref/settings.md)\n"
    )


def test_without_an_issuer_it_says_so_and_names_the_demo(tmp_path: Path) -> None:
    status, output, errors = feedgate("up", "--data", tmp_path / "data")
    assert (status, output) == (2, "")
    assert errors == (
        "feedgate: FEEDGATE_UP_ISSUERS_FILE is not set; an OIDC issuer is needed"
        " (`feedgate demo` brings one for a try); allowed: YAML list of the OIDC issuers to believe, each with its"
        " realm, as in docs/guide/one-box.md (docs/ref/settings.md)\n"
    )
    assert not (tmp_path / "data").exists()


async def test_killed_at_any_moment_of_its_first_start_it_starts_again(box: OneBox) -> None:
    for appears in ("keys/pool.x25519", "registry.sqlite", "audit.sqlite-wal", "bus.sqlite"):
        box.start()
        box.process.wait_until((box.data / appears).exists)
        box.process.signal(signal.SIGKILL)
        assert box.process.wait(10.0) == -signal.SIGKILL
    box.start_ready()
    assert not list(box.data.rglob("*.unfinished"))
    async with httpx.AsyncClient(base_url=box.public) as http:
        assert await box.people(http).register_camera("rtsp://127.0.0.1:8554/x")
    assert box.stop() == 0


@pytest.fixture
async def camera() -> AsyncIterator[Simulator]:
    settings = Settings(user="shop", password="simulated-only", size="640x360", kbps=600)
    async with Simulator(settings) as simulator:
        yield simulator


async def watch(box: OneBox, token: Any, grant_id: str, pictures: int) -> list[str]:
    """See so many pictures under a grant; the codes of the notices meanwhile."""
    seen = 0
    codes = []
    async with (
        asyncio.timeout(30),
        FeedgateClient(box.public, token) as client,
        client.open_view(grant_id) as view,
    ):
        async for item in view:
            if isinstance(item, Notice):
                codes.append(item.code)
            elif isinstance(item, Picture):
                seen += 1
                if seen == pictures:
                    return codes
    raise AssertionError(f"the view ended after {seen} pictures: {codes}")


async def test_a_restart_keeps_cameras_wills_and_ledger_and_can_still_open_the_source(
    box: OneBox, camera: Simulator
) -> None:
    box.start_ready()
    async with httpx.AsyncClient(base_url=box.public, timeout=15.0) as http:
        people = box.people(http)
        camera_id = await people.register_camera(camera.rtsp_url())
        gone = await people.open_share(camera_id)
        assert "started" in await watch(box, people.cast.operator, gone.grant_id, pictures=5)
        await people.withdraw(gone.authorisation_id)
        kept = await people.open_share(camera_id)
        before = await ended_views(people, camera_id)
    assert box.stop() == 0
    length = verified(box)

    box.start_ready()
    async with httpx.AsyncClient(base_url=box.public, timeout=15.0) as http:
        people = box.people(http)
        states = {
            authorisation["id"]: authorisation["state"]
            for authorisation in (
                await people.call(
                    people.cast.owner, "GET", f"/registry/v1/cameras/{camera_id}/authorisations"
                )
            )["items"]
        }
        assert states == {kept.authorisation_id: "active", gone.authorisation_id: "withdrawn"}
        assert await ended_views(people, camera_id) == before
        # The sealed source is opened again with the kept key, under a grant given before.
        assert "started" in await watch(box, people.cast.operator, kept.grant_id, pictures=5)
        with pytest.raises(RefusedError) as refused:
            await watch(box, people.cast.operator, gone.grant_id, pictures=1)
        assert refused.value.problem["reasons"] == ["authorisation_withdrawn"]
    assert box.stop() == 0
    assert verified(box) > length
    assert "simulated-only" not in "".join(path.read_text() for path in box.folder.glob("*.log"))


async def ended_views(people: Any, camera_id: str) -> list[str]:
    """Ids of the views in the ledger, as soon as there is one and all have ended."""

    def views(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [entry for entry in entries if entry["kind"] == "view"]

    entries = await eventually(
        lambda: people.read_ledger(camera_id),
        lambda entries: bool(views(entries)) and all(view["ended_at"] for view in views(entries)),
        20.0,
        "the ended view",
    )
    return [view["view_id"] for view in views(entries)]


def verified(box: OneBox) -> int:
    """Length of the audit chain, unbroken; and that a copy with one byte changed is not."""
    status, output, errors = feedgate("verify-audit", "--data", box.data)
    assert (status, errors) == (0, "")
    words = output.split()
    assert words[0] == "unbroken:"
    edited = box.folder / "edited"
    edited.mkdir(exist_ok=True)
    with (
        sqlite3.connect(box.data / "audit.sqlite") as original,
        sqlite3.connect(edited / "audit.sqlite") as copy,
    ):
        original.backup(copy)
        copy.execute("UPDATE audit_entry SET value = CAST(value || x'00' AS BLOB) WHERE position = 3")
    original.close()
    copy.close()
    status, output, _ = feedgate("verify-audit", "--data", edited)
    assert status == 1
    assert output == "broken at entry 3: it does not follow from the 2 entries before it\n"
    return int(words[1])


def test_the_installed_command_is_the_one_beside_this_interpreter() -> None:
    assert FEEDGATE.parent == Path(sys.executable).parent
    status, output, _ = feedgate("--help")
    assert status == 0
    assert all(command in output for command in ("up", "demo", "migrate", "topics", "verify-audit"))
