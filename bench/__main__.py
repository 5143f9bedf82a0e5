"""`python -m bench NAME [--json]`."""

import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

import bench.agencies
import bench.fanout
import bench.handover
import bench.ingest
import bench.load
import bench.move
import bench.rows
import bench.screen
import bench.start
import bench.withdrawal
from bench import programme
from bench.capacity import Assumed, ConstantMissingError
from bench.capacity_page import FILE as CAPACITY_FILE
from bench.capacity_page import capacity_page, own_numbers
from bench.figures import BenchError, Result, Unmeasured
from bench.machine import commit, load_before, this_machine
from bench.report import show
from bench.results import FILE, results_page

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
    viewers: Viewers = 200,
    trials: Trials = 10,
    bus: Bus = Bus.EMBEDDED,
    relays: Annotated[int, typer.Option(min=1, max=2, help="With --bus kafka.")] = 1,
    brokers: Annotated[int, typer.Option(help="With --bus kafka: 1 or 3.")] = 1,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="With --bus kafka: all through the deployed gateway, TLS.")
    ] = False,
    json: Json = False,
) -> None:
    """Owner's call until every viewer has its notice and its last picture."""
    shape = bench.withdrawal.Shape(bus.value, relays=relays, brokers=brokers, gateway=gateway)
    _run(bench.withdrawal.measure(viewers, trials, shape), json)


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
    _run(programme.admission(), json)


@app.command()
def screen(trials: Trials = 20, json: Json = False) -> None:
    """Owner's call until the tile is covered in Chromium."""
    _run(bench.screen.measure(trials), json)


@app.command()
def start(cameras: Annotated[int, typer.Option(min=0, max=1_000_000)] = 100_000, json: Json = False) -> None:
    """Each service from its start to ready, with no camera in the state topic and with so many."""
    _run(bench.start.measure(cameras), json)


@app.command()
def handover(viewers: Viewers = 200, trials: Trials = 3, json: Json = False) -> None:
    """Death or stop of the process that publishes until another one does, with views open."""
    _run(bench.handover.measure(viewers, trials), json)


@app.command()
def move(trials: Trials = 3, json: Json = False) -> None:
    """For how long a camera gives no pictures when another ingest worker takes it over."""
    _run(bench.move.measure(trials), json)


@app.command()
def load(
    pairs: Annotated[int, typer.Option(min=1, max=12, help="Of cameras.")] = 5,
    seconds: Annotated[int, typer.Option(min=2, max=40)] = 20,
    json: Json = False,
) -> None:
    """What a watched camera costs ingest, brokers, relay and gateway, and how many bytes it leaves."""
    _run(bench.load.measure(pairs, seconds), json)


@app.command()
def rows(shares: Annotated[int, typer.Option(min=10, max=10_000)] = 200, json: Json = False) -> None:
    """What the databases keep for each camera, grant and audit record."""
    _run(bench.rows.measure(shares), json)


@app.command()
def agencies(
    agencies: Annotated[int, typer.Option(min=1, max=1_000)] = 200,
    seconds: Seconds = 20,
    json: Json = False,
) -> None:
    """What an agency's topic costs three brokers while nobody looks."""
    _run(bench.agencies.measure(agencies, seconds), json)


@app.command()
def capacity(
    cameras: Annotated[int | None, typer.Option(min=1, help="Registered; left out: write the page.")] = None,
    watched_share: Annotated[float, typer.Option(min=0, max=1, help="Of them, looked at at once.")] = 0.01,
    viewers_per_camera: Annotated[float, typer.Option(min=1)] = 2,
) -> None:
    """What to order for so many cameras; without a number, write docs/ref/capacity.md. Measures nothing."""
    try:
        if cameras is None:
            _write_capacity()
            return
        asked = Assumed(cameras, watched_share, viewers_per_camera)
        for name, value in own_numbers(FILE.read_text(encoding="utf-8"), asked).items():
            print(f"{name:<62} {value}")
    except ConstantMissingError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from None


def _write_capacity() -> None:
    CAPACITY_FILE.write_text(capacity_page(FILE.read_text(encoding="utf-8")), encoding="utf-8")


@app.command(name="all")
def everything(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Those whose command begins so; what the others left stays."),
    ] = None,
    json: Json = False,
) -> None:
    """Run all with the parameters their targets are stated for; write bench/RESULTS.md and the capacity page."""
    began, load_at_start = datetime.now(UTC), load_before()
    results = []
    for result in programme.run_all(only):
        results.append(result)
        if isinstance(result, Unmeasured):
            sys.stderr.write(f"{result.name} not measured: {result.why}\n")
        else:
            _tell(result, json)
    earlier = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    page = results_page(
        results,
        machine=this_machine(),
        commit=commit(),
        began=began,
        loads=(load_at_start, load_before()),
        earlier=earlier,
    )
    FILE.write_text(page, encoding="utf-8")
    if any(isinstance(result, Unmeasured) for result in results):
        raise typer.Exit(1)
    _write_capacity()


def _run(measuring: Coroutine[Any, Any, Result], as_json: bool) -> None:
    try:
        result = programme.run(measuring)
    except BenchError as error:
        sys.stderr.write(f"not measured: {error}\n")
        raise typer.Exit(1) from None
    _tell(result, as_json)


def _tell(result: Result, as_json: bool) -> None:
    if as_json:
        print(result.to_json(), flush=True)
    else:
        show(result, Console())


if __name__ == "__main__":
    app()
