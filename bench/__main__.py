"""`python -m bench NAME [--json]`."""

import asyncio
import sys
from collections.abc import Coroutine
from enum import StrEnum
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

import bench.admission
import bench.fanout
import bench.ingest
import bench.screen
import bench.withdrawal
from bench.figures import BenchError, Result
from bench.report import show

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Figures of this machine. CPU is percent of one core, user + system.",
)


class Bus(StrEnum):
    """Which back."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


Json = Annotated[bool, typer.Option("--json", help="One JSON line instead of a table.")]
Viewers = Annotated[int, typer.Option(min=1, max=1000)]
Trials = Annotated[int, typer.Option(min=1, max=200)]
Seconds = Annotated[int, typer.Option(min=2, max=300)]


@app.command()
def withdrawal(
    viewers: Viewers = 200, trials: Trials = 10, bus: Bus = Bus.EMBEDDED, json: Json = False
) -> None:
    """Owner's call until every viewer has its notice and its last picture."""
    _run(bench.withdrawal.measure(viewers, trials, bus.value), json)


@app.command()
def fanout(
    viewers: Viewers = 150,
    seconds: Seconds = 20,
    fragment_ms: Annotated[int, typer.Option(help="40: one picture per message.")] = 40,
    json: Json = False,
) -> None:
    """The relay's CPU for each viewer, and the way of a picture through it."""
    _run(bench.fanout.measure(viewers, seconds, fragment_ms), json)


@app.command()
def ingest(
    cameras: Annotated[int, typer.Option(min=1, max=200)] = 20,
    seconds: Seconds = 20,
    adapter: Annotated[str, typer.Option(help="pyav")] = "pyav",
    bus: Bus = Bus.EMBEDDED,
    json: Json = False,
) -> None:
    """Ingest's CPU for each camera, and FFmpeg's on the same cameras."""
    _run(bench.ingest.measure(cameras, seconds, adapter, bus.value), json)


@app.command()
def admission(json: Json = False) -> None:
    """One picture's admission for one viewer."""

    async def measure() -> Result:
        return bench.admission.measure()

    _run(measure(), json)


@app.command()
def screen(trials: Trials = 20, json: Json = False) -> None:
    """Owner's call until the tile is covered in Chromium."""
    _run(bench.screen.measure(trials), json)


def _run(measuring: Coroutine[Any, Any, Result], as_json: bool) -> None:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(measuring)
    except BenchError as error:
        sys.stderr.write(f"not measured: {error}\n")
        raise typer.Exit(1) from None
    if as_json:
        print(result.to_json())
    else:
        show(result, Console())


if __name__ == "__main__":
    app()
