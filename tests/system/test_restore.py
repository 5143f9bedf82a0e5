"""A database restored from a backup: what was withdrawn since stays so, and its owner's next act counts."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from feedgate_client import Notice, Picture, RefusedError
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.grant.v1.grant_pb2 import GRANT_PHASE_CLOSED, GrantState
from feedgate_kit.bus.kafka_connection import record_of
from feedgate_kit.published import Published, newest_of
from feedgate_kit.state_copy import protobuf_decoder
from feedgate_kit.topics import CAMERA_STATE, GRANT_STATE, load_topics
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import People, Shared, eventually
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.deployment import Deployment
from tests.servers.kafka_reading import whole_topic
from tests.servers.machine import postgres_programs
from tests.system.guide import blocks, sections

pytestmark = [pytest.mark.needs("kafka", "postgres"), pytest.mark.timeout(180)]

RESTORED = ("registry", "access-policy")
WITHIN_S = 30.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    settings = Settings(user="shop", password="simulated-only", size="640x360", kbps=600)
    async with Simulator(settings) as simulator:
        yield simulator


async def test_nothing_withdrawn_since_the_backup_comes_back(
    secured_deployment: Deployment, simulator: Simulator
) -> None:
    drill = Drill(secured_deployment)
    async with secured_deployment.people() as people:
        withdrawn, narrowed = [await share(people, simulator) for _ in range(2)]
        ticket = await secured_deployment.take_ticket(people, withdrawn.grant_id)
        drill.run("Back up")

        since = await share(people, simulator)
        for act in ("pause", "resume") * 2:
            await people.call(people.cast.owner, "POST", f"/registry/v1/cameras/{withdrawn.camera_id}/{act}")
        await people.withdraw(withdrawn.authorisation_id)
        sooner = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        await narrow(people, narrowed, sooner)
        await people.call(
            people.cast.operator,
            "POST",
            f"/access-policy/v1/grants/{narrowed.grant_id}/end",
            {"reason": "Found."},
        )
        before = await eventually(
            lambda: cameras_of(secured_deployment),
            lambda cameras: (
                len(cameras) == 3 and not is_shared(cameras, withdrawn) and is_shared(cameras, since)
            ),
            WITHIN_S,
            "everything since the backup in the topic",
        )
        await eventually(
            lambda: closed_grants(secured_deployment),
            lambda closed: closed == {withdrawn.grant_id, narrowed.grant_id},
            WITHIN_S,
            "two grants closed in the topic",
        )

        refused = drill.feedgate("restored", "registry")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == (
            "feedgate: registry still publishes: its lock was not free within 5 s;"
            " stop every registry first (docs/guide/operations-restore.md)\n"
        )

        for name in RESTORED:
            secured_deployment.processes[name].end()
        secured_deployment.processes["relay"].kill()
        assert drill.run("Restore").splitlines() == [
            # registry
            "authorisation.narrowed: 1",
            "authorisation.withdrawn: 1",
            "camera.paused: 1",
            "camera.removed: 1",
            "camera.restored: 2",
            # access-policy
            "grant.closed: 3",
        ]
        again = [drill.feedgate("restored", name).stdout for name in RESTORED]
        assert again == ["nothing to change\n", "nothing to change\n"]

        for name in (*RESTORED, "relay"):
            secured_deployment.start(name)
        await asyncio.gather(*(secured_deployment.until_ready(name) for name in (*RESTORED, "relay")))
        await the_owner_is_told_the_truth(people, withdrawn, narrowed, since, sooner)
        assert [
            await last_word(
                secured_deployment,
                people,
                secured_deployment.signed_anew(
                    ticket,
                    grant=shared.grant_id,
                    camera=shared.camera_id,
                    stream=f"{shared.camera_id}/original",
                ),
            )
            for shared in (withdrawn, narrowed, since)
        ] == ["authorisation_withdrawn", "grant_closed:ended_by_operator", "camera_removed"]
        for shared in (withdrawn, narrowed, since):
            with pytest.raises(StoryError):
                await secured_deployment.take_ticket(people, shared.grant_id)

        # The owner's next acts: nobody would take a version that is not beyond those before the restore.
        await people.call(people.cast.owner, "POST", f"/registry/v1/cameras/{withdrawn.camera_id}/resume")
        shared = await people.open_share(withdrawn.camera_id)
        await pictures_come(secured_deployment, people, shared)
        after = await cameras_of(secured_deployment)
        assert all(after[camera].version > before[camera].version for camera in before)


class Drill:
    """The commands of the guide, as operations run them."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.page = sections("operations-restore.md")
        programs = postgres_programs()
        assert programs is not None
        owners = {
            f"{name.replace('-', '_').upper()}_OWNER": deployment.databases[name].owner_url.replace(
                "postgresql+asyncpg", "postgresql"
            )
            for name in RESTORED
        }
        self.environment = {
            **os.environ,
            **{
                variable: value for name in RESTORED for variable, value in deployment._settings(name).items()
            },
            **owners,
            "PATH": os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"])),
        }

    def run(self, section: str) -> str:
        """Every command of a section, one after the other; what they print."""
        commands = [
            block.text for block in blocks(self.page[section]) if (block.language, block.words) == ("sh", "")
        ]
        assert commands
        done = self._run("bash", "-euc", "\n".join(commands))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def feedgate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("feedgate", *arguments)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.deployment.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


async def share(people: People, simulator: Simulator) -> Shared:
    return await people.open_share(await people.register_camera(simulator.rtsp_url()))


async def narrow(people: People, shared: Shared, expires_at: datetime) -> None:
    answer = await people.http.patch(
        f"/registry/v1/authorisations/{shared.authorisation_id}",
        json={"expires_at": expires_at.isoformat()},
        headers={"Authorization": f"Bearer {await people.cast.owner()}", "If-Match": '"1"'},
    )
    answer.raise_for_status()


async def the_owner_is_told_the_truth(
    people: People, withdrawn: Shared, narrowed: Shared, since: Shared, sooner: datetime
) -> None:
    async def read(path: str) -> Any:
        return await people.call(people.cast.owner, "GET", f"/registry/v1/{path}")

    ended = await read(f"authorisations/{withdrawn.authorisation_id}")
    assert ended["state"] == "withdrawn"
    assert (await read(f"cameras/{withdrawn.camera_id}"))["sharing"] == "stopped"
    held = await read(f"authorisations/{narrowed.authorisation_id}")
    assert (held["state"], datetime.fromisoformat(held["expires_at"])) == ("active", sooner)
    assert (await read(f"cameras/{narrowed.camera_id}"))["sharing"] == "on"
    with pytest.raises(StoryError, match="404"):
        await read(f"cameras/{since.camera_id}")

    for shared, event, authorisation_id in (
        (withdrawn, "authorisation.withdrawn", withdrawn.authorisation_id),
        (narrowed, "authorisation.narrowed", narrowed.authorisation_id),
        (since, "camera.removed", ""),
    ):
        await eventually(
            partial(people.read_ledger, shared.camera_id),
            partial(tells_of, event, authorisation_id),
            WITHIN_S,
            f"{event} in the owner's ledger",
        )


def tells_of(event: str, authorisation_id: str, entries: list[dict[str, Any]]) -> bool:
    """Whether the ledger has this act, as one of operations after a restore."""
    act = {
        "kind": "act",
        "event": event,
        "authorisation_id": authorisation_id,
        "actor": "operations",
        "reasons": ["lost_in_restore"],
    }
    return any(entry | act == entry for entry in entries)


async def last_word(deployment: Deployment, people: People, ticket: dict[str, Any]) -> str:
    """Why the relay shows nothing of a ticket that it takes."""
    try:
        async with asyncio.timeout(WITHIN_S), deployment.view(people, "", ticket) as view:
            items = [item async for item in view]
    except RefusedError as refused:
        return refused.code
    assert not any(isinstance(item, Picture) for item in items)
    assert isinstance(items[-1], Notice)
    return items[-1].reason


async def pictures_come(deployment: Deployment, people: People, shared: Shared) -> None:
    async with asyncio.timeout(WITHIN_S), deployment.view(people, shared.grant_id) as view:
        async for item in view:
            if isinstance(item, Picture):
                return
    raise AssertionError("the view ended without a picture")


async def cameras_of(deployment: Deployment) -> dict[str, Published[CameraState]]:
    assert deployment.secured is not None
    topic, administrator = load_topics()[CAMERA_STATE], deployment.secured.administrator
    records = await whole_topic(deployment.kafka_bootstrap, topic, administrator)
    return newest_of(map(record_of, records), protobuf_decoder(CameraState))


async def closed_grants(deployment: Deployment) -> set[str]:
    assert deployment.secured is not None
    topic, administrator = load_topics()[GRANT_STATE], deployment.secured.administrator
    records = await whole_topic(deployment.kafka_bootstrap, topic, administrator)
    grants = newest_of(map(record_of, records), protobuf_decoder(GrantState))
    return {key for key, grant in grants.items() if grant.value and grant.value.phase == GRANT_PHASE_CLOSED}


def is_shared(cameras: dict[str, Published[CameraState]], shared: Shared) -> bool:
    found = cameras.get(shared.camera_id)
    return found is not None and found.value is not None and bool(found.value.terms)
