"""The topic catalogue: what every topic is for, and how Kafka is to keep it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from feedgate_kit.errors import SERVICES_PAGE, OperatorError

if TYPE_CHECKING:
    from feedgate_kit.bus.kafka_settings import KafkaSecurity

CAMERA_STATE = "registry.camera.state.v1"
GRANT_STATE = "access-policy.grant.state.v1"
DECISION_EVENTS = "access-policy.decision.events.v1"
DEMAND_EVENTS = "relay.demand.events.v1"
TICKET_EVENTS = "relay.ticket.events.v1"
FEED_STATE = "ingest.feed.state.v1"
ACCESS_UNITS = "ingest.access-unit.media.v1"
FRAME_EVENTS = "relay.frame.events.v1.<agency>"
"""Template of the agencies' topics: see `frame_events`."""

SERVICES = frozenset({"access-policy", "audit", "ingest", "registry", "relay"})
MIN_COMPACTION_LAG_MS = 3_600_000  # far above freshness + skew: design, "State topics"
DEAD_LETTERS = ".dlq"
DEAD_LETTER_ROOM_BYTES = 16_384  # for the headers that tell the cause

_PLACEHOLDER = "<agency>"
_NAME = re.compile(r"(?P<service>[a-z][a-z-]*)\.[a-z][a-z-]*\.(?P<kind>state|events|media)\.v[1-9][0-9]*")
_AGENCY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KEYS = frozenset(
    {"description", "producer", "consumers", "key", "value", "partitions", "personal_data", "config"}
)
_EXTRA_KEYS = {
    "state": frozenset({"producer_reads"}),
    "events": frozenset({"producer_reads", "per", "dead_letters"}),
    "media": frozenset({"producer_erases"}),
}
_CONFIG = frozenset({"cleanup.policy", "segment.ms", "message.timestamp.type", "max.message.bytes"})
_STATE_CONFIG = _CONFIG | {"min.compaction.lag.ms"}
_EXPIRING_CONFIG = _CONFIG | {"retention.ms"}
_OPTIONAL_STATE_CONFIG = frozenset({"max.compaction.lag.ms", "min.cleanable.dirty.ratio"})


class TopicError(OperatorError):
    """A topic file, or a topic in Kafka, is not as it has to be; nothing was changed for it."""

    page = SERVICES_PAGE


@dataclass(frozen=True, slots=True)
class Setting:
    """One topic setting, in Kafka's words, and why it is so."""

    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Topic:
    """One file of the catalogue, or the dead letters derived from it."""

    name: str
    kind: str
    """`state`, `events` or `media`."""
    description: str
    producer: str
    consumers: tuple[str, ...]
    key: str
    value: str
    """Full name of the protobuf message."""
    partitions: int
    personal_data: str
    config: Mapping[str, Setting]
    dead_letters_of: str | None = None
    producer_reads: str | None = None
    """Why its producer may also read it; None where it may not."""
    producer_erases: str | None = None
    """Why its producer may delete records before they expire; None where it may not."""

    @property
    def per_agency(self) -> bool:
        """True where the name is a template, one topic for each agency."""
        return _PLACEHOLDER in self.name

    def setting(self, name: str) -> int:
        """A numeric setting."""
        return int(self.config[name].value)


def audit_events(service: str) -> str:
    """Name of the topic a service writes its audit records to."""
    if service not in SERVICES:
        raise TopicError(f"`{service}` is no service; allowed: {_listed(SERVICES)}")
    return f"{service}.audit.events.v1"


def frame_events(agency: str) -> str:
    """Name of an agency's topic of frame events and notices."""
    if not _AGENCY.fullmatch(agency):
        raise TopicError(f"`{agency}` cannot be part of a topic's name; allowed: a-z, 0-9 and -, at most 63")
    return FRAME_EVENTS.replace(_PLACEHOLDER, agency)


def dead_letters(topic: str) -> str:
    """Name of the topic that takes what `topic`'s consumers could not handle."""
    return topic + DEAD_LETTERS


def load_topics(folder: Traversable | None = None) -> Mapping[str, Topic]:
    """Every topic by name, with the dead letters of those that have them.

    Args:
        folder: where the files are; the catalogue packaged with the contracts if left out.

    Raises:
        TopicError: a file is not as it has to be; names the file, what was seen and what is allowed.
    """
    return _packaged() if folder is None else _read_folder(folder)


@cache
def _packaged() -> Mapping[str, Topic]:
    return _read_folder(files("feedgate_contracts").joinpath("topics"))


def _read_folder(folder: Traversable) -> Mapping[str, Topic]:
    topics: dict[str, Topic] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".yaml"):
            raise TopicError(f"`{file.name}` is no topic file; allowed: <topic>.yaml")
        for topic in read_topic(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8")):
            topics[topic.name] = topic
    return MappingProxyType(topics)


def find_topic(topics: Mapping[str, Topic], name: str, kind: str | None = None) -> Topic:
    """The entry for a topic's real name, agencies' topics included.

    Raises:
        TopicError: the catalogue has no such topic, or it is not of the kind asked for.
    """
    topic = topics.get(name) or _agency_topic(topics, name)
    if topic is None or topic.per_agency:
        raise TopicError(f"topic `{name}` is not in the catalogue; allowed: {_listed(topics)}")
    if kind not in {None, topic.kind}:
        raise TopicError(f"topic `{name}` is of kind {topic.kind}; asked for: {kind}")
    return topic


def _agency_topic(topics: Mapping[str, Topic], name: str) -> Topic | None:
    for template in topics.values():
        head, placeholder, _ = template.name.partition(_PLACEHOLDER)
        if placeholder and name.startswith(head) and _AGENCY.fullmatch(name.removeprefix(head)):
            return replace(template, name=name)
    return None


def expand(topics: Mapping[str, Topic], agencies: Iterable[str]) -> list[Topic]:
    """The topics as Kafka has them: each template once for every agency."""
    names = sorted(set(agencies))
    for name in names:
        frame_events(name)  # refuses what cannot be part of a topic's name
    expanded: list[Topic] = []
    for topic in topics.values():
        if topic.per_agency:
            expanded += [
                replace(topic, name=topic.name.replace(FRAME_EVENTS, frame_events(name))) for name in names
            ]
        else:
            expanded.append(topic)
    return expanded


def used_by(service: str, topics: Mapping[str, Topic], there: Iterable[str]) -> list[Topic]:
    """The topics a service makes, takes or sets aside into.

    Args:
        service: which.
        topics: the catalogue.
        there: names in Kafka; tell which agencies have a topic.
    """
    used: list[Topic] = []
    for topic in topics.values():
        taken = topic if topic.dead_letters_of is None else topics[topic.dead_letters_of]
        makes = topic.producer == service and topic.dead_letters_of is None
        if not topic.per_agency and (makes or service in taken.consumers):
            used.append(topic)
    for name in there:
        own = None if name in topics else _agency_topic(topics, name)
        if own is not None and service in {own.producer, *own.consumers}:
            used.append(own)
    return used


async def apply_topics(
    bootstrap: str,
    topics: Mapping[str, Topic],
    agencies: Iterable[str],
    *,
    replication_factor: int = 1,
    security: "KafkaSecurity | None" = None,
) -> list[str]:
    """Bring a running Kafka in line with the catalogue; what was changed, a line each.

    Raises:
        TopicError: a topic has another number of partitions; nothing was changed.
        BusError: Kafka cannot be reached or refused.
    """
    # Here, not above: who only names topics needs no Kafka client.
    from feedgate_kit.bus import kafka_settings, kafka_topics

    return await kafka_topics.apply_topics(
        bootstrap,
        topics,
        agencies,
        replication_factor=replication_factor,
        security=security or kafka_settings.OPEN,
    )


def read_topic(name: str, text: str) -> list[Topic]:
    """The topic of one file and, where it has them, its dead letters.

    Raises:
        TopicError: as `load_topics` says.
    """
    matched = _NAME.fullmatch(name)
    if matched is None or matched["service"] not in SERVICES:
        raise TopicError(
            f"`{name}` is no topic name; allowed: <service>.<noun>.<state|events|media>.v<major>"
        )
    kind = matched["kind"]
    entry = yaml.safe_load(text)
    if not isinstance(entry, dict):
        raise TopicError(f"`{name}`: the file is no mapping")
    _refuse_unknown(name, entry, needed=_KEYS, optional=_EXTRA_KEYS[kind])
    if entry["producer"] != matched["service"]:
        raise TopicError(
            f"`{name}`: producer is `{entry['producer']}`; allowed: `{matched['service']}`, as in its name"
        )
    if entry.get("per", "agency") != "agency":
        raise TopicError(f"`{name}`: per is `{entry['per']}`; allowed: agency")
    topic = Topic(
        name=f"{name}.{_PLACEHOLDER}" if "per" in entry else name,
        kind=kind,
        description=_text(name, entry, "description"),
        producer=entry["producer"],
        consumers=_consumers(name, entry["consumers"]),
        key=_text(name, entry, "key"),
        value=_text(name, entry, "value"),
        partitions=entry["partitions"],
        personal_data=_text(name, entry, "personal_data"),
        config=_settings(name, entry["config"]),
        producer_reads=_text(name, entry, "producer_reads") if "producer_reads" in entry else None,
        producer_erases=_text(name, entry, "producer_erases") if "producer_erases" in entry else None,
    )
    _check(topic)
    handled = SERVICES.intersection(topic.consumers)
    if kind == "events" and bool(handled) != ("dead_letters" in entry):
        raise TopicError(
            f"`{name}`: an events topic has dead_letters where, and only where, a service consumes it"
        )
    if "dead_letters" not in entry:
        return [topic]
    return [topic, _dead_letters(topic, _settings(name, entry["dead_letters"]))]


def _dead_letters(topic: Topic, kept: Mapping[str, Setting]) -> Topic:
    """The twin of a topic: it must be able to take whatever the topic took, and the cause."""
    if set(kept) != {"retention.ms"}:
        raise TopicError(f"`{topic.name}`: dead_letters has {_listed(kept)}; allowed: retention.ms")
    room = Setting(
        str(topic.setting("max.message.bytes") + DEAD_LETTER_ROOM_BYTES),
        "whatever the topic took, and the headers that tell the cause",
    )
    twin = replace(
        topic,
        name=dead_letters(topic.name),
        description=f"Records of {topic.name} that a consumer could not handle, each with its cause.",
        consumers=("operations",),
        partitions=1,
        config=MappingProxyType({**topic.config, **kept, "max.message.bytes": room}),
        dead_letters_of=topic.name,
        producer_reads=None,
    )
    _check(twin)
    return twin


def _check(topic: Topic) -> None:
    """What the design asks of every topic."""
    name, config = topic.name, topic.config
    if topic.kind == "state":
        _refuse_unknown(name, config, needed=_STATE_CONFIG, optional=_OPTIONAL_STATE_CONFIG)
    else:
        _refuse_unknown(name, config, needed=_EXPIRING_CONFIG, optional=frozenset())
    if not isinstance(topic.partitions, int) or topic.partitions < 1:
        raise TopicError(f"`{name}`: partitions is {topic.partitions}; allowed: a whole number from 1")
    policy = "compact" if topic.kind == "state" else "delete"
    words = {"cleanup.policy": policy, "message.timestamp.type": "LogAppendTime"}
    for key, value in words.items():
        if config[key].value != value:
            raise TopicError(f"`{name}`: {key} is {config[key].value}; allowed for {topic.kind}: {value}")
    for key in config.keys() - words.keys() - {"min.cleanable.dirty.ratio"}:
        if not config[key].value.isdecimal():
            raise TopicError(f"`{name}`: {key} is {config[key].value}; allowed: a whole number")
    if topic.kind == "state":
        _check_state(topic)
    elif topic.setting("segment.ms") > topic.setting("retention.ms"):
        raise TopicError(
            f"`{name}`: segment.ms is {config['segment.ms'].value}; allowed: up to retention.ms,"
            f" {config['retention.ms'].value}, for what lies in an open segment is not deleted"
        )


def _check_state(topic: Topic) -> None:
    """What readers of a state topic rest on."""
    if topic.partitions != 1:
        raise TopicError(f"`{topic.name}`: partitions is {topic.partitions}; allowed for state: 1")
    lag_ms = topic.setting("min.compaction.lag.ms")
    if lag_ms < MIN_COMPACTION_LAG_MS:
        raise TopicError(
            f"`{topic.name}`: min.compaction.lag.ms is {lag_ms}; allowed: from {MIN_COMPACTION_LAG_MS};"
            " with less, compaction can move a stop behind a heartbeat that vouched for it"
        )


def _settings(name: str, config: Any) -> Mapping[str, Setting]:
    if not isinstance(config, dict):
        raise TopicError(f"`{name}`: config is no mapping of settings")
    settings: dict[str, Setting] = {}
    for key, entry in config.items():
        if (
            not isinstance(entry, dict)
            or set(entry) != {"value", "reason"}
            or not str(entry["reason"]).strip()
        ):
            raise TopicError(f"`{name}`: {key} has to be a value and a reason, and nothing else")
        settings[str(key)] = Setting(str(entry["value"]), str(entry["reason"]))
    return MappingProxyType(settings)


def _consumers(name: str, consumers: Any) -> tuple[str, ...]:
    allowed = SERVICES | {"agency"}
    if not isinstance(consumers, list) or not consumers or not allowed.issuperset(consumers):
        raise TopicError(f"`{name}`: consumers is {consumers}; allowed: a list of {_listed(allowed)}")
    return tuple(consumers)


def _text(name: str, entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise TopicError(f"`{name}`: {key} is `{value}`; allowed: some text")
    return value


def _refuse_unknown(
    name: str, seen: Iterable[str], *, needed: frozenset[str], optional: frozenset[str]
) -> None:
    keys = set(seen)
    if unknown := keys - needed - optional:
        raise TopicError(f"`{name}`: unknown {_listed(unknown)}; allowed: {_listed(needed | optional)}")
    if missing := needed - keys:
        raise TopicError(f"`{name}`: {_listed(missing)} missing")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
