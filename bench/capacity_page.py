"""`docs/ref/capacity.md`: the tables, and the template's words around them."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.capacity import (
    BUSY,
    CONSTANTS,
    COPIES,
    FEWEST_WATCHED,
    MEASURED_CAMERAS,
    SIZES,
    SPARE,
    Assumed,
    Needs,
    audit_retained_days,
    deployments,
    most_registered,
    most_watched,
    needs,
    partitions_of,
    read_constants,
    retained_s,
    runs_of_constants,
    share_of,
)
from bench.machine import REPOSITORY
from bench.start import READY_MS
from feedgate_kit.topics import ACCESS_UNITS, DEMAND_EVENTS, FRAME_EVENTS
from feedgate_relay.usage import USAGE_EVERY_S

AGENCIES: Final = 100
"""Of which the page says what they cost."""
FILE: Final = REPOSITORY / "docs" / "ref" / "capacity.md"
TEMPLATE: Final = Path(__file__).with_name("capacity.template.md")
_SAID_OF_MACHINE: Final = re.compile(r"^- machine.*$", re.MULTILINE)

Say = Callable[[Assumed, Needs], str]

# fmt: off
ROWS: Final[Mapping[str, Mapping[str, Say]]] = {
    "asked of each deployment": {
        "registered cameras": lambda asked, _: f"{asked.cameras:,}",
        "looked at at once": lambda asked, _: f"{asked.watched:,}",
        "viewers at once": lambda asked, _: f"{asked.viewers:,}",
        "grants a day": lambda asked, _: f"{asked.grants_a_day:,.0f}",
    },
    "processes of each": {
        "ingest workers": lambda _, need: f"{need.ingest_workers}",
        "… memory of an ingest worker": lambda _, need: _mib(need.ingest_mib),
        "relays": lambda _, need: f"{need.relays}",
        "… views that one can take": lambda _, need: f"{need.views_of_a_relay}",
        "… memory of a relay": lambda _, need: _mib(need.relay_mib),
        "access-policy": lambda *_: "2",
        "… memory of an access-policy": lambda _, need: _mib(need.access_policy_mib),
        "registry": lambda *_: "2",
        "… memory of a registry": lambda _, need: _mib(need.registry_mib),
        "audit": lambda *_: "2",
        "gateway, cores": lambda _, need: f"{need.gateway_cores:.1f}",
    },
    "Kafka of each": {
        "brokers": lambda *_: f"{COPIES}",
        "cores of all together": lambda _, need: f"{need.broker_cores:.1f}",
        "network into one": lambda _, need: _gbit(need.broker_in_gbit_s),
        "network out of one": lambda _, need: _gbit(need.broker_out_gbit_s),
        "disk of one: pictures": lambda _, need: _gib(need.media_gib),
        "disk of one: agencies' topics": lambda _, need: _gib(need.agency_gib),
        "disk of one: audit topics": lambda _, need: _gib(need.audit_topics_gib),
        "disk of one: state topics after a year": lambda _, need: _mib(need.state_mib),
    },
    "network of each": {
        "cameras to ingest": lambda _, need: _gbit(need.media_gbit_s),
        "brokers to one relay": lambda _, need: _gbit(need.relay_in_gbit_s),
        "gateway to viewers": lambda _, need: _gbit(need.viewers_gbit_s),
    },
    "PostgreSQL of each, with indexes": {
        "registry": lambda _, need: _gib(need.registry_gib),
        "access-policy, after a year": lambda _, need: _gib(need.access_policy_gib),
        "audit, after a year": lambda _, need: _gib(need.audit_gib),
    },
    "start to ready": {
        "access-policy": lambda _, need: _ready(need.ready_ms["access_policy"]),
        "ingest": lambda _, need: _ready(need.ready_ms["ingest"]),
        "relay": lambda _, need: _ready(need.ready_ms["relay"]),
    },
}
# fmt: on


def capacity_page(results: str) -> str:
    """The whole page.

    Args:
        results: what `bench/RESULTS.md` holds.

    Raises:
        ConstantMissingError: a bench was not run.
    """
    constants = read_constants(results)
    asked, whole = Assumed(SIZES[0]), needs(constants, Assumed(SIZES[-1]))
    return TEMPLATE.read_text(encoding="utf-8").format(
        machine="\n".join(_SAID_OF_MACHINE.findall(results)),
        ingest_cpu=f"{constants['ingest_cpu']:g} %",
        ingest_cpu_of_more=f"{constants['ingest_cpu_of_more']:g} %",
        measured_cameras=f"{MEASURED_CAMERAS:,}",
        watched_share=f"{asked.watched_share:.0%}",
        fewest_watched=FEWEST_WATCHED,
        viewers_per_camera=f"{asked.viewers_per_camera:g}",
        mean_of_peak=f"{asked.mean_of_peak:.0%}",
        grant_hours=f"{asked.grant_hours:g}",
        busy=f"{BUSY:.0%}",
        spare=SPARE,
        media_s=f"{retained_s(ACCESS_UNITS):.0f}",
        agency_h=f"{retained_s(FRAME_EVENTS) / 3600:.0f}",
        audit_days=f"{audit_retained_days():.0f}",
        brokers_idle=f"{constants['brokers_idle']:g} %",
        agencies=f"{AGENCIES:,}",
        agencies_cpu=_cpu(AGENCIES * constants["agency_cpu"]),
        agencies_memory=_mib(AGENCIES * constants["agency_mib"]),
        agencies_disk=_mib(AGENCIES * constants["agency_disk_kib"] / 1024),
        agencies_apply=f"{AGENCIES * constants['agency_apply_ms'] / 1000:.1f} s",
        agency_partitions=partitions_of(FRAME_EVENTS),
        usage_s=f"{USAGE_EVERY_S:g}",
        orders=_orders(constants),
        most_watched=f"{most_watched(constants):,}",
        full_watched=f"{2 * most_watched(constants):,}",
        partitions=partitions_of(ACCESS_UNITS),
        ready_s=f"{READY_MS / 1000:g}",
        most_registered=f"{most_registered(constants):,}",
        largest=f"{SIZES[-1]:,}",
        relay_ready=_ready(whole.ready_ms["relay"]),
        access_policy_ready=_ready(whole.ready_ms["access_policy"]),
        relay_memory=_mib(whole.relay_mib),
        access_policy_memory=_mib(whole.access_policy_mib),
        workers_of_a_pool=partitions_of(DEMAND_EVENTS),
        constants=_constants(constants),
        runs=_runs(results),
    )


def own_numbers(results: str, asked: Assumed) -> dict[str, str]:
    """For the terminal: each line's value.

    Raises:
        ConstantMissingError: a bench was not run.
    """
    constants = read_constants(results)
    count = deployments(constants, asked)
    share = share_of(asked, count)
    need = needs(constants, share)
    lines = {f"{part}: {name}": say(share, need) for part, rows in ROWS.items() for name, say in rows.items()}
    return {"deployments": f"{count}", **lines}


def _orders(constants: Mapping[str, float]) -> str:
    asked = [Assumed(size) for size in SIZES]
    counts = [deployments(constants, each) for each in asked]
    shares = [share_of(each, count) for each, count in zip(asked, counts, strict=True)]
    needed = [needs(constants, each) for each in shares]
    lines = [
        _line("registered cameras", [f"{size:,}" for size in SIZES]),
        "|---|" + "--:|" * len(SIZES),
        _line("**deployments**", [f"**{count}**" for count in counts]),
    ]
    for part, rows in ROWS.items():
        lines.append(_line(f"**{part}**", [""] * len(SIZES)))
        lines += [
            _line(name, [say(*each) for each in zip(shares, needed, strict=True)])
            for name, say in rows.items()
        ]
    return "\n".join(lines)


def _constants(constants: Mapping[str, float]) -> str:
    head = ["| constant | value | measured by | figure |", "|---|--:|---|---|"]
    rows = [
        f"| {each.says} | {constants[each.name]:g} {each.unit} | `python -m bench {each.command}` | `{each.figure}` |"
        for each in CONSTANTS
    ]
    return "\n".join([*head, *rows])


def _runs(results: str) -> str:
    return "\n".join(f"- `{command}`: {run}" for command, run in runs_of_constants(results).items())


def _line(name: str, values: Sequence[Any]) -> str:
    return f"| {name} | " + " | ".join(values) + " |"


def _mib(mib: float) -> str:
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def _gib(gib: float) -> str:
    return f"{gib:.1f} GiB" if gib >= 1 else _mib(gib * 1024)


def _cpu(percent: float) -> str:
    return f"{percent:.1f} % of a core" if percent > 0 else "no CPU that can be told from noise"


def _gbit(gbit_s: float) -> str:
    return f"{gbit_s:.1f} Gb/s" if gbit_s >= 1 else f"{gbit_s * 1000:.0f} Mb/s"


def _ready(ms: float) -> str:
    return f"{ms / 1000:.1f} s"
