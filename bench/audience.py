"""The viewers of a bench, in a process of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.child import Child
from bench.figures import BenchError

PICTURES_WITHIN_S: Final = 30.0
PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """What one viewer received, a row for each picture."""

    sequences: list[int]
    received_ns: list[int]  # monotonic clock


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of everybody at a stop."""

    samples_ms: list[float]  # one for each viewer that was told
    untold: int
    late_pictures: int
    stalled_pictures: list[int]  # of each viewer that did not read


class Audience:
    """Speaks to `bench.viewers`."""

    def __init__(self, child: Child) -> None:
        """Of the process `child`."""
        self._child = child

    async def open(
        self,
        origins: Sequence[str],
        tickets: Sequence[dict[str, Any]],
        stalled: Sequence[dict[str, Any]] = (),
        ca_file: Path | None = None,
    ) -> None:
        """Every ticket opens a view at one of the origins; those of `stalled` never read their media socket."""
        await self._child.ask(
            "open",
            origins=list(origins),
            tickets=list(tickets),
            stalled=list(stalled),
            ca_file=None if ca_file is None else str(ca_file),
        )

    async def until_pictures(self) -> None:
        """Until every reader has one.

        Raises:
            BenchError: it took too long.
        """
        deadline_s = time.monotonic() + PICTURES_WITHIN_S
        while True:
            if await self._child.ask("fewest"):
                return
            if time.monotonic() > deadline_s:
                raise BenchError(f"not every viewer had a picture within {PICTURES_WITHIN_S:g} s")
            await asyncio.sleep(PAUSE_S)

    async def forget_pictures(self) -> None:
        await self._child.ask("forget")

    async def fewest_since(self, seconds: float) -> int:
        """The pictures of the reader with the fewest, of the last seconds."""
        now_ns = time.monotonic_ns()
        fewest: int = await self._child.ask("between", from_ns=now_ns - round(seconds * 1e9), until_ns=now_ns)
        return fewest

    async def ending(self, called_ns: int, within_s: float) -> Ending:
        """Wait until everybody is told `stopped`; drain those that did not read."""
        return Ending(**await self._child.ask("ending", called_ns=called_ns, within_s=within_s))

    async def seen(self) -> list[Seen]:
        return [Seen(**rows) for rows in await self._child.ask("seen")]

    async def leases(self) -> int:
        """Leases that all readers together had."""
        leases: int = await self._child.ask("leases")
        return leases

    async def leave(self) -> None:
        """Close every view."""
        await self._child.ask("leave")


@asynccontextmanager
async def audience() -> AsyncIterator[Audience]:
    async with Child("bench.viewers") as child:
        yield Audience(child)
