"""Who may do what in Kafka, as the topic files say. Nothing that is not said here is allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from feedgate_kit.topics import SERVICES, Topic, frame_events

AGENCY_PREFIX: Final = "agency-"


class Resource(StrEnum):
    """What a right is over."""

    TOPIC = "topic"
    GROUP = "group"
    """Of consumers."""


class Operation(StrEnum):
    """What may be done to it. `read`, `write` and `delete` each let their holder see that it exists."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    """Kafka has one right for deleting records and for deleting the topic."""
    DESCRIBE_CONFIGS = "describe_configs"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One thing that one user may do."""

    user: str
    resource: Resource
    name: str
    operation: Operation
    is_prefix: bool = False
    """Whether `name` stands for everything that begins with it."""

    def __str__(self) -> str:
        return f"{self.operation} {self.resource} {self.name}{'*' if self.is_prefix else ''}"


def agency_user(agency: str) -> str:
    """Who an agency is to Kafka."""
    return AGENCY_PREFIX + agency


def is_ours(user: str) -> bool:
    """Whether the user is one that this catalogue makes and removes."""
    return user in SERVICES or user.startswith(AGENCY_PREFIX)


def users_of(agencies: Iterable[str]) -> list[str]:
    """Everybody who is to have a password."""
    return [*sorted(SERVICES), *sorted(agency_user(agency) for agency in set(agencies))]


def rights_of(topics: Mapping[str, Topic], agencies: Iterable[str]) -> frozenset[Right]:
    """Every right that the topic files give.

    A service that makes or takes a topic's records may also see the topic's settings, which it
    holds against the file when it starts. Writing with idempotence needs no right of its own (Kafka
    KIP-679), and nothing here uses transactions.
    """
    given: set[Right] = set()
    for topic in topics.values():
        if topic.per_agency:
            for agency in set(agencies):
                own = replace(topic, name=frame_events(agency))
                given |= _producing(own) | _consuming(own) | _received_by(own, agency)
        elif topic.dead_letters_of is not None:
            given |= _setting_aside(topic, topics[topic.dead_letters_of])
        else:
            given |= _producing(topic) | _consuming(topic)
    return frozenset(given)


def _producing(topic: Topic) -> set[Right]:
    allowed = {Operation.WRITE, Operation.DESCRIBE_CONFIGS}
    if topic.producer_reads is not None:
        allowed.add(Operation.READ)
    if topic.producer_erases is not None:
        allowed.add(Operation.DELETE)
    return {Right(topic.producer, Resource.TOPIC, topic.name, operation) for operation in allowed}


def _consuming(topic: Topic) -> set[Right]:
    given: set[Right] = set()
    for service in SERVICES.intersection(topic.consumers):
        for operation in (Operation.READ, Operation.DESCRIBE_CONFIGS):
            given.add(Right(service, Resource.TOPIC, topic.name, operation))
        if topic.kind == "events":  # state and pictures are read whole, by no group
            given |= _groups(service, separator="-")
    return given


def _setting_aside(letters: Topic, topic: Topic) -> set[Right]:
    """Whoever consumes a topic writes its dead letters; operations read them, as Kafka's administrator."""
    return {
        Right(service, Resource.TOPIC, letters.name, operation)
        for service in SERVICES.intersection(topic.consumers)
        for operation in (Operation.WRITE, Operation.DESCRIBE_CONFIGS)
    }


def _received_by(topic: Topic, agency: str) -> set[Right]:
    user = agency_user(agency)
    # No agency's id has a dot, so no agency's groups begin with another's name and a dot.
    return {Right(user, Resource.TOPIC, topic.name, Operation.READ), *_groups(user, separator=".")}


def _groups(user: str, *, separator: str) -> set[Right]:
    """The group named like the user, and those whose name goes on after the separator."""
    return {
        Right(user, Resource.GROUP, user, Operation.READ),
        Right(user, Resource.GROUP, user + separator, Operation.READ, is_prefix=True),
    }
