"""What an agency's topic costs brokers while nobody looks."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.figures import Result, rounded
from bench.load import BROKERS
from bench.meter import Used, rss_mib, used_by
from bench.servers import KafkaNode, three_brokers
from bench.spread import span
from feedgate_kit.topics import apply_topics, load_topics

SETTLED_S: Final = 10.0
"""After topics are made brokers elect leaders and write their first checkpoints."""


@dataclass(frozen=True, slots=True)
class Resting:
    """Brokers that only keep topics."""

    used: Used
    rss_mib: float  # of all together
    disk_bytes: float  # of one

    @classmethod
    async def of(cls, nodes: Sequence[KafkaNode], seconds: float) -> Self:
        """What they use over `seconds`, once they have settled."""
        await asyncio.sleep(SETTLED_S)
        pids = [node.process.pid for node in nodes]
        used = await used_by(pids, seconds)
        files = [file for file in (nodes[0].folder / "data").rglob("*") if file.is_file()]
        # stat(2): blocks of 512 bytes, whatever the disk's.
        taken = sum(file.stat().st_blocks * 512 for file in files)
        return cls(used, sum(rss_mib(pid) for pid in pids), taken)


async def measure(agencies: int, seconds: int) -> Result:
    """Three brokers with the topics of one agency, and of so many more.

    Raises:
        BenchError: Kafka is not installed.
    """
    names = [f"agency-{number}" for number in range(agencies + 1)]
    with (
        tempfile.TemporaryDirectory(prefix="feedgate-bench-") as folder,
        three_brokers(Path(folder) / "kafka") as kafka,
    ):
        await _apply(kafka.bootstrap, names[:1])
        one = await Resting.of(kafka.brokers, seconds)
        began_s = time.monotonic()
        await _apply(kafka.bootstrap, names)
        applied_s = time.monotonic() - began_s
        many = await Resting.of(kafka.brokers, seconds)
    return Result(
        bench="agencies",
        parameters={"agencies": agencies, "seconds": seconds},
        figures={
            "brokers_idle_cpu_percent_per_agency": rounded((many.used.percent - one.used.percent) / agencies),
            "brokers_rss_mib_per_agency": rounded((many.rss_mib - one.rss_mib) / agencies),
            "disk_kib_per_agency": rounded((many.disk_bytes - one.disk_bytes) / 1024 / agencies),
            "apply_ms_per_agency": rounded(1000 * applied_s / agencies),
        },
        measured=(
            f"{BROKERS} brokers, each with a replica of every partition, and nobody who writes or reads: with so many "
            "agencies' topics beside what they were with one; CPU and resident memory of all brokers together, "
            "what the files of one take on its disk, and the time of the `apply_topics` that made them"
        ),
        spread=f"{span(many.used.parts)} % of a core with all, {span(one.used.parts)} % with one; one run",
    )


async def _apply(bootstrap: str, agencies: Sequence[str]) -> None:
    await apply_topics(bootstrap, load_topics(), agencies, replication_factor=BROKERS)
