"""What the systems of record keep for each camera, grant and audit record."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.figures import BenchError, Result, rounded
from bench.servers import Platform, deployment
from bench.world import people_of
from feedgate_audit.collector import TOPICS as AUDIT_TOPICS
from feedgate_kit.topics import GRANT_STATE

SOURCE: Final = "rtsp://somebody:a-password@127.0.0.1:554/street"
"""Nobody looks, so it is never called."""
COLLECTED_WITHIN_S: Final = 60.0
QUIET_S: Final = 2.0
SIZE: Final = "SELECT pg_database_size(current_database())"
RECORDS: Final = "SELECT count(*) FROM audit_entry"


@dataclass(frozen=True, slots=True)
class Kept:
    """What lies on disks at one moment, bytes but for `audit_records`."""

    registry: int
    access_policy: int
    audit: int
    audit_records: int
    grant_topic: int
    audit_topics: int
    """Of every service, and the decisions: all that audit collects."""

    @classmethod
    def by(cls, deployed: Platform) -> Self:
        return cls(
            registry=deployed.ask_database("registry", SIZE),
            access_policy=deployed.ask_database("access-policy", SIZE),
            audit=deployed.ask_database("audit", SIZE),
            audit_records=deployed.ask_database("audit", RECORDS),
            grant_topic=deployed.log_bytes(GRANT_STATE),
            audit_topics=sum(deployed.log_bytes(topic) for topic in AUDIT_TOPICS),
        )


async def measure(shares: int) -> Result:
    """So many cameras, each authorised, asked for, granted and given one ticket.

    Raises:
        BenchError: a server is not installed, or audit did not come to an end.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        deployed = await stack.enter_async_context(deployment(folder))
        people = await stack.enter_async_context(deployed.people())
        world = people_of(deployed.issuer, people.http, people.agency, people.pool)

        async def share() -> None:
            opened = await world.open_grants(await world.owner.register_camera(SOURCE), 1)
            await world.take_tickets(opened, 1)

        await share()  # what is there once, whoever comes: accounts, first pages
        before = await _collected(deployed)
        for _ in range(shares):
            await share()
        after = await _collected(deployed)
    records = after.audit_records - before.audit_records
    return Result(
        bench="rows",
        parameters={"shares": shares},
        figures={
            "registry_bytes_per_camera": rounded((after.registry - before.registry) / shares),
            "access_policy_bytes_per_grant": rounded((after.access_policy - before.access_policy) / shares),
            "grant_topic_bytes_per_grant": rounded((after.grant_topic - before.grant_topic) / shares),
            "audit_records_per_grant": rounded(records / shares),
            "audit_bytes_per_record": rounded((after.audit - before.audit) / records),
            "audit_topic_bytes_per_record": rounded((after.audit_topics - before.audit_topics) / records),
        },
        measured=(
            "Growth of each database, indexes included, and of the grant topic and those that audit collects: a "
            "camera with one authorisation, an incident, a request for it, its approval, the grant and one ticket, "
            "through the real APIs; audit's once it has collected all"
        ),
        spread=f"one run of {shares}, {records} audit records; PostgreSQL grows by pages of 8 KiB",
    )


async def _collected(deployed: Platform) -> Kept:
    """What is kept once audit has gone on for a while without a new record.

    Raises:
        BenchError: it goes on and on.
    """
    deadline_s = time.monotonic() + COLLECTED_WITHIN_S
    kept, since_s = Kept.by(deployed), time.monotonic()
    while time.monotonic() - since_s < QUIET_S:
        if time.monotonic() > deadline_s:
            raise BenchError(f"audit still collects after {COLLECTED_WITHIN_S:g} s")
        await asyncio.sleep(QUIET_S / 4)
        now = Kept.by(deployed)
        if now.audit_records != kept.audit_records:
            since_s = time.monotonic()
        kept = now
    return kept
