"""How many machines for how many cameras: arithmetic on what the benches measured (`bench/RESULTS.md`)."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench.start import READY_MS
from feedgate_kit.topics import ACCESS_UNITS, FRAME_EVENTS, load_topics
from feedgate_relay.usage import USAGE_EVERY_S

SIZES: Final = (100, 10_000, 1_000_000)
BUSY: Final = 0.70
"""How much of a core or a worker is planned for; the rest is for the moments when more comes at once."""
COPIES: Final = 3
"""Of each record, one on every broker (`docker-compose.yml`: `replication.factor`)."""
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
FEWEST_AGENCIES: Final = 2
SECONDS_A_DAY: Final = 86_400
GIB: Final = 2**30
MIB: Final = 2**20

_ROW: Final = re.compile(r"^\| `(?P<command>[^`]+)` \| `(?P<figure>[^`]+)` \| (?P<value>[0-9.e+-]+) \|")


class ConstantMissingError(Exception):
    """A figure that the page needs is not in the results."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A figure of one bench."""

    name: str
    bench: str
    """How the command begins that measured it."""
    figure: str
    unit: str
    says: str


CORE: Final = "% of a core"


def _constants() -> Iterator[Constant]:
    yield Constant("ingest_cpu", "load", "ingest_cpu_percent_per_camera", CORE, "ingest, a watched camera")
    yield Constant(
        "brokers_cpu", "load", "brokers_cpu_percent_per_camera", CORE, "three brokers together, a camera"
    )
    yield Constant(
        "relay_cpu", "load", "relay_cpu_percent_per_camera", CORE, "relay, a camera and its first viewer"
    )
    foreign = "relay, a camera that nobody looks at through it"
    yield Constant("foreign_cpu", "load", "relay_cpu_percent_per_foreign_camera", CORE, foreign)
    yield Constant("gateway_cpu", "load", "gateway_cpu_percent_per_viewer", CORE, "gateway, a viewer")
    yield Constant("media_bytes", "load", "media_topic_bytes_per_s", "bytes/s", "media topic, a camera")
    yield Constant(
        "agency_bytes", "load", "agency_topic_bytes_per_s", "bytes/s", "agency's topic, a watched grant"
    )
    yield Constant("ingest_mib", "ingest", "rss_mib_per_camera", "MiB", "ingest's memory, a connected camera")
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
    cameras_per_agency: int = 5_000

    @property
    def watched(self) -> int:
        return min(self.cameras, max(FEWEST_WATCHED, math.ceil(self.cameras * self.watched_share)))

    @property
    def viewers(self) -> int:
        return math.ceil(self.watched * self.viewers_per_camera)

    @property
    def agencies(self) -> int:
        return max(FEWEST_AGENCIES, math.ceil(self.cameras / self.cameras_per_agency))

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
    state_mib: float  # on one broker's disk
    registry_gib: float  # a year's growth of the last two
    access_policy_gib: float
    audit_gib: float
    ready_ms: Mapping[str, float]  # by service


def read_constants(page: str) -> dict[str, float]:
    """The constants from the table of `bench/RESULTS.md`.

    Raises:
        ConstantMissingError: names the bench that has to be run.
    """
    rows = [match for line in page.splitlines() if (match := _ROW.match(line))]
    values = {}
    for constant in CONSTANTS:
        found = [
            float(row["value"])
            for row in rows
            if row["figure"] == constant.figure and row["command"].split()[0] == constant.bench
        ]
        if not found:
            raise ConstantMissingError(
                f"`{constant.figure}` of `{constant.bench}` is not in bench/RESULTS.md; `make bench` measures it"
            )
        values[constant.name] = found[-1]  # of ingest the second: into Kafka
    return values


def partitions_of(topic: str) -> int:
    return load_topics()[topic].partitions


def retained_s(topic: str) -> float:
    """How long a record of a topic may lie on a disk: its retention, its segment, a check."""
    entry = load_topics()[topic]
    return (entry.setting("retention.ms") + entry.setting("segment.ms")) / 1_000 + CHECK_S


def fetched(watched: int, views: int) -> float:
    """Cameras that a relay with so many views reads: whole partitions, its own cameras spread over them."""
    return watched * (1 - (1 - 1 / partitions_of(ACCESS_UNITS)) ** views)


def relay_percent(constants: Mapping[str, float], watched: int, views: int) -> float:
    """What a relay uses of its core where every view is of another camera."""
    foreign = max(0.0, fetched(watched, views) - views)
    return views * constants["relay_cpu"] + foreign * constants["foreign_cpu"]


def views_of_a_relay(constants: Mapping[str, float], watched: int) -> int:
    """How many views a relay takes before its core is `BUSY`; 0 if what it reads for nobody fills it."""
    views = 0
    while relay_percent(constants, watched, views + 1) <= 100 * BUSY and views < MOST_VIEWS:
        views += 1
    return views


def most_watched(constants: Mapping[str, float]) -> int:
    """Cameras looked at at once in one deployment: then a relay spends half of its core on others' cameras."""
    return math.floor(100 * BUSY / 2 / constants["foreign_cpu"])


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
    workers = math.ceil(watched * constants["ingest_cpu"] / 100 / BUSY) + SPARE
    mean_watched = watched * assumed.mean_of_peak
    grants_a_year = 365 * assumed.grants_a_day
    usage_a_year = 365 * SECONDS_A_DAY * viewers * assumed.mean_of_peak / USAGE_EVERY_S
    return Needs(
        ingest_workers=workers,
        relays=relays,
        views_of_a_relay=views,
        broker_cores=watched * constants["brokers_cpu"] / 100 / BUSY,
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
        agency_gib=mean_watched * constants["agency_bytes"] * retained_s(FRAME_EVENTS) / GIB,
        state_mib=(cameras * constants["camera_bytes"] + grants_a_year * constants["grant_bytes"]) / MIB,
        registry_gib=cameras * constants["registry_row"] / GIB,
        access_policy_gib=grants_a_year * constants["access_policy_row"] / GIB,
        audit_gib=(grants_a_year * constants["audit_records"] + usage_a_year) * constants["audit_row"] / GIB,
        ready_ms={service: at_size(constants, service, "ms", cameras) for service in READING},
    )
