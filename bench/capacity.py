"""How many machines for how many cameras: arithmetic on what the benches measured (`bench/RESULTS.md`)."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench.start import READY_MS
from feedgate_audit.collector import TOPICS as AUDIT_TOPICS
from feedgate_kit.topics import ACCESS_UNITS, FRAME_EVENTS, load_topics
from feedgate_relay.usage import USAGE_EVERY_S

SIZES: Final = (100, 10_000, 1_000_000)
BUSY: Final = 0.70
"""How much of a core or a worker is planned for; the rest is for the moments when more comes at once."""
COPIES: Final = 3
"""Of each record, one on every broker (`feedgate topics apply --replication-factor 3`)."""
CHECK_S: Final = 10
"""How often a broker looks for what may go (`log.retention.check.interval.ms`)."""
MEASURED_CAMERAS: Final = 100_000
FULL: Final = f"{MEASURED_CAMERAS:,} cameras"
READING: Final = ("access_policy", "ingest", "relay")
"""The services that are ready when they have read the camera topic."""
FEWEST_WATCHED: Final = 8
"""However few cameras there are: one incident looks at as many."""
SPARE: Final = 1
"""A worker or relay more than needed, for the one that fails or is replaced."""
MOST_VIEWS: Final = 1_000
"""Of one relay, as its setting `maximum_views` has it unless told."""
VIEW_RECORDS: Final = 2
"""Of each view: its beginning and its end."""
TICKET_RECORDS: Final = 2
"""Of each viewer's ticket after the first: that it was given, and the decision."""
SECONDS_A_DAY: Final = 86_400
GIB: Final = 2**30
MIB: Final = 2**20

_ROW: Final = re.compile(r"^\| `(?P<command>[^`]+)` \| `(?P<figure>[^`]+)` \| (?P<value>[0-9.e+-]+) \|")
_HEADING: Final = re.compile(r"^## `(?P<command>[^`]+)`$")
_RUN: Final = "- run: "


class ConstantMissingError(Exception):
    """A figure that the page needs, or when it was measured, is not in the results."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A figure of one bench."""

    name: str
    bench: str
    """How the command begins that measured it."""
    figure: str
    unit: str
    says: str
    option: str = ""
    """What else stands in the command, of a bench that runs in several ways."""

    @property
    def command(self) -> str:
        """As much of it as tells it from others."""
        return f"{self.bench} {self.option}".rstrip()

    def is_of(self, command: str) -> bool:
        return command.split(maxsplit=1)[0] == self.bench and self.option in command


@dataclass(frozen=True, slots=True)
class Measured:
    """A constant's value, in its unit, and the whole command that gave it."""

    value: float
    command: str


CORE: Final = "% of a core"
INTO_KAFKA: Final = "--bus kafka"


def _constants() -> Iterator[Constant]:
    yield Constant("ingest_cpu", "load", "ingest_cpu_percent_per_camera", CORE, "ingest, a watched camera")
    more = "ingest by itself with more cameras, a camera"
    yield Constant("ingest_cpu_of_more", "ingest", "cpu_percent_per_camera", CORE, more, INTO_KAFKA)
    yield Constant("ingest_idle", "load", "ingest_idle_cpu_percent", CORE, "ingest, nobody looks")
    yield Constant(
        "brokers_idle", "load", "brokers_idle_cpu_percent", CORE, "three brokers together, nobody looks"
    )
    yield Constant(
        "brokers_cpu", "load", "brokers_cpu_percent_per_camera", CORE, "three brokers together, a camera"
    )
    yield Constant("relay_idle", "load", "relay_idle_cpu_percent", CORE, "relay, nobody looks")
    yield Constant(
        "relay_cpu", "load", "relay_cpu_percent_per_camera", CORE, "relay, a camera and its first viewer"
    )
    foreign = "relay, a camera that nobody looks at through it"
    yield Constant("foreign_cpu", "load", "relay_cpu_percent_per_foreign_camera", CORE, foreign)
    yield Constant("gateway_cpu", "load", "gateway_cpu_percent_per_viewer", CORE, "gateway, a viewer")
    yield Constant("media_bytes", "load", "media_topic_bytes_per_s", "bytes/s", "media topic, a camera")
    shown = "agency's topic, a grant watched at one relay"
    yield Constant("agency_bytes", "load", "agency_topic_bytes_per_s", "bytes/s", shown)
    topic = "an agency's topic, nobody looks: three brokers together"
    yield Constant("agency_cpu", "agencies", "brokers_idle_cpu_percent_per_agency", CORE, topic)
    yield Constant("agency_mib", "agencies", "brokers_rss_mib_per_agency", "MiB", "… their memory")
    yield Constant("agency_disk_kib", "agencies", "disk_kib_per_agency", "KiB", "… the disk of one")
    yield Constant(
        "agency_apply_ms", "agencies", "apply_ms_per_agency", "ms", "… `topics apply`, the first time"
    )
    connected = "ingest's memory, a connected camera"
    yield Constant("ingest_mib", "ingest", "rss_mib_per_camera", "MiB", connected, INTO_KAFKA)
    yield Constant("viewer_kib", "fanout", "rss_kib_per_viewer", "KiB", "relay's memory, a viewer")
    yield Constant(
        "camera_bytes", "start", "camera_topic_bytes_per_camera", "bytes", "camera topic, a camera"
    )
    yield Constant("grant_bytes", "rows", "grant_topic_bytes_per_grant", "bytes", "grant topic, a grant")
    yield Constant(
        "registry_row", "rows", "registry_bytes_per_camera", "bytes", "registry's database, a shared camera"
    )
    yield Constant(
        "access_policy_row", "rows", "access_policy_bytes_per_grant", "bytes", "access-policy's, a grant"
    )
    yield Constant("audit_row", "rows", "audit_bytes_per_record", "bytes", "audit's, a record")
    yield Constant(
        "audit_records", "rows", "audit_records_per_grant", "records", "audit, a grant and its first ticket"
    )
    yield Constant(
        "audit_topic_record", "rows", "audit_topic_bytes_per_record", "bytes", "audit topics, a record"
    )
    for service in ("registry", *READING):
        name = service.replace("_", "-")
        if service in READING:
            yield Constant(
                f"{service}_empty_ms", "start", f"{service}_ready_empty_ms", "ms", f"{name}, start"
            )
            yield Constant(
                f"{service}_full_ms", "start", f"{service}_ready_ms", "ms", f"{name}, start, {FULL}"
            )
        yield Constant(f"{service}_empty_mib", "start", f"{service}_rss_empty_mib", "MiB", f"{name}, memory")
        yield Constant(f"{service}_full_mib", "start", f"{service}_rss_mib", "MiB", f"{name}, memory, {FULL}")


CONSTANTS: Final = tuple(_constants())


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a deployment is asked to do. Change these for your own."""

    cameras: int
    watched_share: float = 0.01
    """Of the registered cameras, looked at at the same time at the busiest hour."""
    viewers_per_camera: float = 2
    mean_of_peak: float = 0.25
    """Of the busiest hour's watching, over day and night."""
    grant_hours: float = 1

    @property
    def watched(self) -> int:
        return min(self.cameras, max(FEWEST_WATCHED, math.ceil(self.cameras * self.watched_share)))

    @property
    def viewers(self) -> int:
        return math.ceil(self.watched * self.viewers_per_camera)

    @property
    def grants_a_day(self) -> float:
        return self.watched * self.mean_of_peak * 24 / self.grant_hours


@dataclass(frozen=True, slots=True)
class Needs:
    """Of one deployment."""

    ingest_workers: int
    relays: int
    views_of_a_relay: int
    broker_cores: float  # all brokers together
    gateway_cores: float
    ingest_mib: float  # one worker
    relay_mib: float  # one relay
    access_policy_mib: float  # one process
    registry_mib: float  # one process
    media_gbit_s: float  # all cameras together
    broker_in_gbit_s: float  # one broker
    broker_out_gbit_s: float  # one broker
    relay_in_gbit_s: float  # one relay
    viewers_gbit_s: float  # all viewers together
    media_gib: float  # on one broker's disk
    agency_gib: float  # on one broker's disk
    audit_topics_gib: float  # on one broker's disk
    state_mib: float  # on one broker's disk
    registry_gib: float  # a year's growth of the last two
    access_policy_gib: float
    audit_gib: float
    ready_ms: Mapping[str, float]  # by service


def measured_constants(page: str) -> dict[str, Measured]:
    """The constants from the table of `bench/RESULTS.md`, by name; the last one, where a bench stands there twice.

    Raises:
        ConstantMissingError: names the bench that has to be run.
    """
    rows = [match for line in page.splitlines() if (match := _ROW.match(line))]
    constants = {}
    for constant in CONSTANTS:
        found = [
            Measured(float(row["value"]), row["command"])
            for row in rows
            if row["figure"] == constant.figure and constant.is_of(row["command"])
        ]
        if not found:
            raise ConstantMissingError(
                f"`{constant.figure}` of `{constant.command}` is not in bench/RESULTS.md; `make bench` measures it"
            )
        constants[constant.name] = found[-1]
    return constants


def read_constants(page: str) -> dict[str, float]:
    """The constants' values, by name, each in its unit.

    Raises:
        ConstantMissingError: names the bench that has to be run.
    """
    return {name: each.value for name, each in measured_constants(page).items()}


def runs_of_constants(page: str) -> dict[str, str]:
    """Each command that gave a constant, and what `bench/RESULTS.md` says of its run: commit, date, load.

    Raises:
        ConstantMissingError: names the bench of which it says nothing.
    """
    told: dict[str, str] = {}
    command = ""
    for line in page.splitlines():
        if heading := _HEADING.match(line):
            command = heading["command"]
        elif line.startswith(_RUN):
            told[command] = line.removeprefix(_RUN)
    commands = dict.fromkeys(each.command for each in measured_constants(page).values())
    for each in commands:
        if each not in told:
            raise ConstantMissingError(f"bench/RESULTS.md does not say when `{each}` was run")
    return {each: told[each] for each in commands}


def partitions_of(topic: str) -> int:
    return load_topics()[topic].partitions


def retained_s(topic: str) -> float:
    """How long a record of a topic may lie on a disk: its retention, its segment, a check."""
    entry = load_topics()[topic]
    return (entry.setting("retention.ms") + entry.setting("segment.ms")) / 1_000 + CHECK_S


def audit_retained_days() -> float:
    """How long a record may lie in any of the topics that audit collects."""
    return max(retained_s(topic) for topic in AUDIT_TOPICS) / SECONDS_A_DAY


def audit_records_a_day(constants: Mapping[str, float], assumed: Assumed) -> float:
    """Those of the day's grants, of their views, and one every `USAGE_EVERY_S` of each view, the mean of a day open."""
    views = assumed.viewers * assumed.mean_of_peak
    of_views = assumed.viewers_per_camera * VIEW_RECORDS + (assumed.viewers_per_camera - 1) * TICKET_RECORDS
    of_a_grant = constants["audit_records"] + of_views
    return assumed.grants_a_day * of_a_grant + SECONDS_A_DAY * views / USAGE_EVERY_S


def own_cameras(watched: int, views: int) -> int:
    """Cameras that a relay with so many views shows, at most."""
    return min(views, watched)


def fetched(watched: int, views: int) -> float:
    """Cameras that a relay with so many views reads: its own, and what others watch in the same partitions."""
    own = own_cameras(watched, views)
    return own + (watched - own) * (1 - (1 - 1 / partitions_of(ACCESS_UNITS)) ** views)


def relay_percent(constants: Mapping[str, float], watched: int, views: int) -> float:
    """What a relay uses of its core, percent, where every view is of another camera as long as there is one."""
    foreign = fetched(watched, views) - own_cameras(watched, views)
    return constants["relay_idle"] + views * constants["relay_cpu"] + foreign * constants["foreign_cpu"]


def left_of_core(constants: Mapping[str, float], service: str) -> float:
    """Percent of a core that a process of `ingest` or `relay` has for cameras and views before it is `BUSY`."""
    return 100 * BUSY - constants[f"{service}_idle"]


def ingest_percent(constants: Mapping[str, float]) -> float:
    """What a watched camera uses of an ingest worker's core, percent: the worse of what two benches measured."""
    return max(constants["ingest_cpu"], constants["ingest_cpu_of_more"])


def views_of_a_relay(constants: Mapping[str, float], watched: int) -> int:
    """How many views a relay takes before its core is `BUSY`; 0 if what it reads for nobody fills it."""
    views = 0
    while relay_percent(constants, watched, views + 1) <= 100 * BUSY and views < MOST_VIEWS:
        views += 1
    return views


def most_watched(constants: Mapping[str, float]) -> int:
    """Cameras looked at at once in one deployment: then others' take at most half of what a relay has for work."""
    return math.floor(left_of_core(constants, "relay") / 2 / constants["foreign_cpu"])


def most_registered(constants: Mapping[str, float]) -> int:
    """Cameras with which every service still starts within `READY_MS`."""
    most = [
        MEASURED_CAMERAS * (READY_MS - constants[f"{service}_empty_ms"]) / grown
        for service in READING
        if (grown := constants[f"{service}_full_ms"] - constants[f"{service}_empty_ms"]) > 0
    ]
    return max(0, math.floor(min(most, default=math.inf)))


def deployments(constants: Mapping[str, float], assumed: Assumed) -> int:
    """How many deployments, each with its own Kafka, share the cameras."""
    return math.ceil(assumed.watched / max(1, most_watched(constants)))


def share_of(assumed: Assumed, count: int) -> Assumed:
    """What each of several deployments is asked to do."""
    return replace(assumed, cameras=math.ceil(assumed.cameras / count))


def at_size(constants: Mapping[str, float], service: str, unit: str, cameras: int) -> float:
    """A service's start (`ms`) or memory (`mib`) with so many cameras: the straight line through the two measured."""
    empty, full = constants[f"{service}_empty_{unit}"], constants[f"{service}_full_{unit}"]
    return empty + cameras / MEASURED_CAMERAS * (full - empty)


def needs(constants: Mapping[str, float], assumed: Assumed) -> Needs:
    """What one deployment needs.

    Args:
        constants: from `read_constants`.
        assumed: of this deployment.
    """
    watched, viewers, cameras = assumed.watched, assumed.viewers, assumed.cameras
    views = views_of_a_relay(constants, watched)
    relays = math.ceil(viewers / max(1, views)) + SPARE
    views_each = math.ceil(viewers / max(1, relays - SPARE))
    gbit_s = constants["media_bytes"] * 8 / 1e9
    relay_in = fetched(watched, views_each) * gbit_s
    in_memory = {service: at_size(constants, service, "mib", cameras) for service in ("registry", *READING)}
    workers = math.ceil(watched * ingest_percent(constants) / left_of_core(constants, "ingest")) + SPARE
    events_from = watched * assumed.mean_of_peak * min(assumed.viewers_per_camera, relays)
    grants_a_year = 365 * assumed.grants_a_day
    audit_a_day = audit_records_a_day(constants, assumed)
    return Needs(
        ingest_workers=workers,
        relays=relays,
        views_of_a_relay=views,
        broker_cores=(constants["brokers_idle"] + watched * constants["brokers_cpu"]) / 100 / BUSY,
        gateway_cores=viewers * constants["gateway_cpu"] / 100 / BUSY,
        ingest_mib=in_memory["ingest"]
        + constants["ingest_mib"] * math.ceil(watched / max(1, workers - SPARE)),
        relay_mib=in_memory["relay"] + constants["viewer_kib"] / 1024 * views_each,
        access_policy_mib=in_memory["access_policy"],
        registry_mib=in_memory["registry"],
        media_gbit_s=watched * gbit_s,
        broker_in_gbit_s=watched * gbit_s,
        broker_out_gbit_s=(watched * gbit_s * (COPIES - 1) + relays * relay_in) / COPIES,
        relay_in_gbit_s=relay_in,
        viewers_gbit_s=viewers * gbit_s,
        media_gib=watched * constants["media_bytes"] * retained_s(ACCESS_UNITS) / GIB,
        agency_gib=events_from * constants["agency_bytes"] * retained_s(FRAME_EVENTS) / GIB,
        audit_topics_gib=audit_a_day * constants["audit_topic_record"] * audit_retained_days() / GIB,
        state_mib=(cameras * constants["camera_bytes"] + grants_a_year * constants["grant_bytes"]) / MIB,
        registry_gib=cameras * constants["registry_row"] / GIB,
        access_policy_gib=grants_a_year * constants["access_policy_row"] / GIB,
        audit_gib=365 * audit_a_day * constants["audit_row"] / GIB,
        ready_ms={service: at_size(constants, service, "ms", cameras) for service in READING},
    )
