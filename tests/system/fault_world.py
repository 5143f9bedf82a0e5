"""Servers and services to break under a live view, and what is seen of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from feedgate_client import RefusedError, kafka_frame_events
from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.record import VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_kit.ids import new_id
from feedgate_kit.topics import CAMERA_STATE
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import People, Shared, eventually
from feedgate_tools.simulator.process import Simulator
from tests.servers.deployment import AGENCY, Deployment
from tests.servers.kafka import KafkaBroker
from tests.servers.machine import faketime_library
from tests.servers.postgres import PostgresServer
from tests.system.watch import TIMEOUT_S, Watch, now_us, watching

DARK_US = 5 * MICROSECONDS
AT_ONCE_US = MICROSECONDS
"""With nothing in its way, a withdrawal takes milliseconds; a second is a busy machine's."""

Measure = Callable[[str, float], None]


class SteppedClock:
    """The wall clock, and only that, of the processes that are started with its environment."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.step(0)

    @property
    def environment(self) -> Mapping[str, str]:
        library = faketime_library()
        assert library is not None
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """Set the clock to so far from the truth."""
        written = self.file.with_suffix(".new")
        written.write_text(f"{seconds:+d}", encoding="ascii")
        written.replace(self.file)

    @staticmethod
    def forget(pid: int) -> None:
        """Remove what libfaketime leaves behind of a process that was killed."""
        for left in Path("/dev/shm").glob(f"*faketime*_{pid}"):
            left.unlink()


@dataclass
class World:
    """The servers and services, all of which a test may break."""

    broker: KafkaBroker
    postgres: PostgresServer
    deployment: Deployment
    simulator: Simulator
    people: People
    measure: Measure

    @asynccontextmanager
    async def view(self, shared: Shared) -> AsyncIterator[Watch]:
        """A view that shows pictures."""
        async with watching(self.deployment, self.people, shared.grant_id) as watch:
            await watch.until_playing()
            yield watch

    async def share(self, camera: Simulator | None = None) -> Shared:
        """A camera of its own, shared."""
        source = (camera or self.simulator).rtsp_url()
        return await self.people.open_share(await self.people.register_camera(source))

    async def start_broker(self) -> None:
        # Started by the main thread: the kernel ends it with the thread that did.
        self.broker.begin()
        await asyncio.to_thread(self.broker.wait)

    async def start_postgres(self) -> None:
        self.postgres.process.start()
        await asyncio.to_thread(self.postgres.wait)

    async def restore(self) -> None:
        """Everything runs and answers again."""
        if not self.broker.process.running:
            await self.start_broker()
        self.broker.cont()
        if not self.postgres.process.running:
            await self.start_postgres()
        await self.deployment.restore()

    @asynccontextmanager
    async def stepping(self, service: str, folder: Path) -> AsyncIterator[SteppedClock]:
        """A service whose clock can be stepped."""
        clock = SteppedClock(folder)
        await self.deployment.restart(service, clock.environment)
        process = self.deployment.processes[service]
        try:
            yield clock
        finally:
            process.end()
            clock.forget(process.pid)

    def went_dark(self, watch: Watch, fault_us: int, back_us: int) -> None:
        """No picture later than the bound after the fault, until `back_us`."""
        last_us = watch.last_picture_before(back_us)
        self.measure("dark_within_s", max(0, last_us - fault_us) / MICROSECONDS)
        assert last_us <= fault_us + DARK_US

    async def came_back(self, watch: Watch, cured_us: int) -> None:
        """Pictures come again on the same view, and go on."""
        again_us = await watch.until_picture(cured_us)
        self.measure("pictures_back_in_s", (again_us - cured_us) / MICROSECONDS)
        await watch.until_playing()

    async def stops_at_once(self, watch: Watch, shared: Shared) -> None:
        """A withdrawal works as if nothing had ever happened."""
        called_us = now_us()
        await self.people.withdraw(shared.authorisation_id)
        stopped = await watch.until_notice("stopped", called_us)
        self.measure("withdrawal_to_notice_s", (stopped.received_at_us - called_us) / MICROSECONDS)
        assert stopped.received_at_us <= called_us + AT_ONCE_US
        await self.stays_stopped(watch, shared, stopped.received_at_us)

    async def stays_stopped(self, watch: Watch, shared: Shared, stopped_us: int) -> None:
        """Nothing after the notice, nothing more to be had, and the relay itself still knows."""
        await watch.until_ended()
        assert watch.codes[-1] == "stopped"
        assert watch.pictures_between(stopped_us, now_us()) == 0
        with pytest.raises(StoryError, match="authorisation_withdrawn"):
            await self.deployment.take_ticket(self.people, shared.grant_id)

    async def refusal_of(self, shared: Shared, ticket: dict[str, Any]) -> str:
        """Why the relay opens no view with this ticket; it must not."""
        with pytest.raises(RefusedError) as refused:
            async with watching(self.deployment, self.people, shared.grant_id, ticket):
                pass
        return str(refused.value)

    async def until_runs_shown(self, shared: Shared, count: int) -> None:
        """Until the agency was told of pictures of so many runs."""
        runs: set[bytes] = set()
        async with asyncio.timeout(TIMEOUT_S):
            async for event in kafka_frame_events(self.broker.bootstrap, AGENCY, new_id()):
                if event.grant_id == shared.grant_id and event.HasField("group_of_pictures"):
                    runs.add(event.group_of_pictures.run)
                if len(runs) == count:
                    return

    async def until_said(self, service: str, *words: str) -> None:
        """Until the service, as it was started last, has logged a line with all these words."""
        process = self.deployment.processes[service]

        async def new_lines() -> list[str]:
            return process.words_since_start().splitlines()

        def said(lines: list[str]) -> bool:
            return any(all(word in line for word in words) for line in lines)

        await eventually(new_lines, said, TIMEOUT_S, f"{service} to say {words}")

    async def ended_view(self, camera_id: str) -> dict[str, Any]:
        """The camera's view in the owner's ledger, as soon as its end is there."""

        def ended(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [entry for entry in entries if entry["kind"] == "view" and entry["ended_at"]]

        entries = await eventually(
            lambda: self.people.read_ledger(camera_id),
            lambda found: bool(ended(found)),
            TIMEOUT_S,
            "the ended view in the ledger",
        )
        return ended(entries)[0]

    async def camera_topic(self) -> list[Record]:
        """All of it, from its first record."""
        bus = KafkaBus(KafkaSettings(bootstrap=self.broker.bootstrap), SystemClock())
        await bus.start()
        try:
            reader = await bus.state_log(CAMERA_STATE).open_reader()
            return list(await reader.read_to_end())
        finally:
            await bus.close()

    async def versions(self, camera_id: str) -> list[int]:
        """Of a camera's records, in the order they lie in the topic."""
        topic = await self.camera_topic()
        return [int(record.headers[VERSION_HEADER]) for record in topic if record.key == camera_id]

    @asynccontextmanager
    async def as_superuser(self) -> AsyncIterator[Any]:
        """A connection to registry's database."""
        name = self.deployment.databases["registry"].name
        connection = await asyncpg.connect(self.postgres.url(name).replace("+asyncpg", ""))
        try:
            yield connection
        finally:
            await connection.close()

    async def until_waiting(self, on: str, query: str) -> None:
        """Until a session of registry's database waits for a lock of this kind in such a query."""
        question = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND wait_event = $1 AND query LIKE $2"
        )
        async with self.as_superuser() as connection:
            await eventually(
                lambda: connection.fetchval(question, on, f"%{query}%"), bool, TIMEOUT_S, f"a wait for {on}"
            )
