"""Rights follow from the topic files alone: a table for each kind of topic."""

from dataclasses import replace

import pytest

from feedgate.kafka_rights import Operation, Resource, Right, is_ours, rights_of, users_of
from feedgate_kit.topics import (
    ACCESS_UNITS,
    CAMERA_STATE,
    DEMAND_EVENTS,
    FRAME_EVENTS,
    Topic,
    dead_letters,
    load_topics,
)

CATALOGUE = load_topics()


def topics(*names: str) -> dict[str, Topic]:
    return {name: CATALOGUE[name] for name in names}


def told(names: tuple[str, ...], agencies: tuple[str, ...] = ()) -> set[str]:
    return {f"{right.user}: {right}" for right in rights_of(topics(*names), agencies)}


@pytest.mark.parametrize(
    ("names", "agencies", "rights"),
    [
        pytest.param(
            (CAMERA_STATE,),
            ("metro-police",),
            {
                "registry: write topic registry.camera.state.v1",
                "registry: read topic registry.camera.state.v1",
                "registry: describe_configs topic registry.camera.state.v1",
                "access-policy: read topic registry.camera.state.v1",
                "access-policy: describe_configs topic registry.camera.state.v1",
                "ingest: read topic registry.camera.state.v1",
                "ingest: describe_configs topic registry.camera.state.v1",
                "relay: read topic registry.camera.state.v1",
                "relay: describe_configs topic registry.camera.state.v1",
            },
            id="state is read by no group",
        ),
        pytest.param(
            (DEMAND_EVENTS, dead_letters(DEMAND_EVENTS)),
            ("metro-police",),
            {
                "relay: write topic relay.demand.events.v1",
                "relay: describe_configs topic relay.demand.events.v1",
                "ingest: read topic relay.demand.events.v1",
                "ingest: describe_configs topic relay.demand.events.v1",
                "ingest: read group ingest",
                "ingest: read group ingest-*",
                "ingest: write topic relay.demand.events.v1.dlq",
                "ingest: describe_configs topic relay.demand.events.v1.dlq",
            },
            id="events are read by groups, dead letters written by who consumes",
        ),
        pytest.param(
            (ACCESS_UNITS,),
            (),
            {
                "ingest: write topic ingest.access-unit.media.v1",
                "ingest: delete topic ingest.access-unit.media.v1",
                "ingest: describe_configs topic ingest.access-unit.media.v1",
                "relay: read topic ingest.access-unit.media.v1",
                "relay: describe_configs topic ingest.access-unit.media.v1",
            },
            id="pictures are erased by who sent them",
        ),
        pytest.param((FRAME_EVENTS,), (), set(), id="no agency, no topic"),
        pytest.param(
            (FRAME_EVENTS,),
            ("pba", "pba-2"),
            {
                "relay: write topic relay.frame.events.v1.pba",
                "relay: read topic relay.frame.events.v1.pba",
                "relay: describe_configs topic relay.frame.events.v1.pba",
                "relay: write topic relay.frame.events.v1.pba-2",
                "relay: read topic relay.frame.events.v1.pba-2",
                "relay: describe_configs topic relay.frame.events.v1.pba-2",
                "agency-pba: read topic relay.frame.events.v1.pba",
                "agency-pba: read group agency-pba",
                "agency-pba: read group agency-pba.*",
                "agency-pba-2: read topic relay.frame.events.v1.pba-2",
                "agency-pba-2: read group agency-pba-2",
                "agency-pba-2: read group agency-pba-2.*",
            },
            id="an agency reads its own topic, in groups of its own name",
        ),
    ],
)
def test_rights_of_a_topic(names: tuple[str, ...], agencies: tuple[str, ...], rights: set[str]) -> None:
    assert told(names, agencies) == rights


def test_who_produces_reads_only_where_the_file_says_why() -> None:
    camera = replace(CATALOGUE[CAMERA_STATE], producer_reads=None)
    assert Right("registry", Resource.TOPIC, CAMERA_STATE, Operation.READ) not in rights_of(
        {CAMERA_STATE: camera}, []
    )


def test_who_produces_erases_only_where_the_file_says_why() -> None:
    media = replace(CATALOGUE[ACCESS_UNITS], producer_erases=None)
    rights = rights_of({ACCESS_UNITS: media}, [])
    assert Operation.DELETE not in {right.operation for right in rights}


def test_no_right_is_over_a_topic_by_prefix_or_over_all() -> None:
    for right in rights_of(CATALOGUE, ["pba"]):
        assert "*" not in right.name
        assert not (right.is_prefix and right.resource is Resource.TOPIC)


def test_every_user_has_a_right_and_every_right_a_user_of_ours() -> None:
    rights = rights_of(CATALOGUE, ["pba", "pfa"])
    assert {right.user for right in rights} == set(users_of(["pba", "pfa"]))
    assert all(is_ours(right.user) for right in rights)
    assert not is_ours("admin")
