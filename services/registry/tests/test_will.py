from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args
from zoneinfo import available_timezones

import pytest
from annotated_types import Le
from hypothesis import given
from hypothesis import strategies as st

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.record import VERSION_HEADER, Record
from feedgate_kit.bus.record_size import fits, size_bytes
from feedgate_kit.clock import SystemClock, to_us
from feedgate_kit.ids import new_id
from feedgate_kit.topics import CAMERA_STATE, load_topics
from feedgate_registry.authorisation import (
    Authorisation,
    ExpiryError,
    Purpose,
    Rendition,
    Scope,
    check_expiry,
    latest_expiry_us,
)
from feedgate_registry.camera import Camera, Place
from feedgate_registry.forms import LONGEST_AGENCY, MOST_AGENCIES, MOST_SPANS
from feedgate_registry.narrowing import widened_fields
from feedgate_registry.schedule import Day, Span, weekly
from feedgate_registry.settings import RegistrySettings
from feedgate_registry.will import camera_state, sharing

MOMENTS = st.integers(0, 100)
LATE_US = to_us(datetime(2999, 1, 1, tzinfo=UTC)) + 999_999
MAYBE = st.none() | MOMENTS
CAMERA = Camera(
    camera_id="camera-1",
    owner="0" * 64,
    version=7,
    name="Front door of somebody",
    place=Place(-58.4, -34.6, 90.0, 75.0),
    jurisdiction="AR-B",
    ingest_pool="site",
    pool_version=3,
    source_version=2,
    source_key_id="key-1",
    source_set_at_us=5,
    created_at_us=0,
    resumed_at_us=0,
)
SCHEDULES = st.none() | st.sampled_from(
    [
        weekly("UTC", [Span(("mon",), "08:00", "20:00")]),
        weekly("UTC", [Span(("mon",), "09:00", "10:00")]),
        weekly("UTC", [Span(("tue",), "09:00", "10:00")]),
    ]
)
SCOPES = st.builds(
    Scope,
    agencies=st.sets(st.sampled_from(["norte", "sur", "este"]), min_size=1).map(
        lambda some: tuple(sorted(some))
    ),
    purposes=st.sets(st.sampled_from(["detect", "prevent"]), min_size=1).map(
        lambda some: tuple(sorted(some))
    ),
    renditions=st.just(("original",)),
    schedule=SCHEDULES,
    expires_at_us=MOMENTS,
)


@st.composite
def authorisation_lists(draw: st.DrawFn) -> list[Authorisation]:
    return [
        Authorisation(
            authorisation_id=f"authorisation-{number}",
            camera_id=CAMERA.camera_id,
            version=1,
            scope=draw(SCOPES),
            approval_mode="standing",
            given_at_us=draw(MOMENTS),
            withdrawn_at_us=draw(MAYBE),
            expired_at_us=draw(MAYBE),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


CAMERAS = st.builds(
    lambda paused, removed, resumed: replace(
        CAMERA, paused_at_us=paused, removed_at_us=removed, resumed_at_us=resumed
    ),
    MAYBE,
    MAYBE,
    MOMENTS,
)


@given(CAMERAS, authorisation_lists(), MOMENTS)
def test_the_record_says_the_owners_will_and_nothing_else(
    camera: Camera, authorisations: list[Authorisation], now_us: int
) -> None:
    state = camera_state(camera, authorisations, now_us)
    told = {terms.authorisation_id: terms for terms in state.terms}
    assert len(told) == len(state.terms)
    for one in authorisations:
        is_in_force = (
            camera.removed_at_us is None
            and one.withdrawn_at_us is None
            and one.expired_at_us is None
            and now_us < one.scope.expires_at_us
        )
        assert (one.authorisation_id in told) == is_in_force
        if is_in_force:
            terms = told[one.authorisation_id]
            assert tuple(terms.agencies) == one.scope.agencies
            assert tuple(terms.purposes) == one.scope.purposes
            assert tuple(terms.renditions) == one.scope.renditions
            assert terms.opens_at.ToMicroseconds() == one.given_at_us
            assert terms.expires_at.ToMicroseconds() == one.scope.expires_at_us
            assert terms.HasField("schedule") == (one.scope.schedule is not None)
            assert not terms.HasField("caps")
    assert (state.sharing == camera_pb.SHARING_STOPPED) == (not told)
    assert (state.sharing == camera_pb.SHARING_PAUSED) == (bool(told) and camera.paused_at_us is not None)
    assert (state.sharing == camera_pb.SHARING_ON) == (bool(told) and camera.paused_at_us is None)
    assert state.removed == (camera.removed_at_us is not None)
    assert state.resumed_at.ToMicroseconds() == camera.resumed_at_us
    assert (state.version, state.pool_version, state.ingest_pool) == (7, 3, "site")
    assert camera.name.encode() not in state.SerializeToString()
    assert camera_state(camera, reversed(authorisations), now_us) == state


@given(CAMERAS, authorisation_lists(), MOMENTS, MOMENTS)
def test_time_alone_only_takes_away(
    camera: Camera, authorisations: list[Authorisation], one_us: int, later_us: int
) -> None:
    now_us, then_us = sorted((one_us, one_us + later_us))
    now, then = (camera_state(camera, authorisations, at_us) for at_us in (now_us, then_us))
    assert {terms.authorisation_id for terms in then.terms} <= {terms.authorisation_id for terms in now.terms}


@given(CAMERAS, authorisation_lists(), MOMENTS)
def test_after_a_pause_or_a_removal_nothing_is_on(
    camera: Camera, authorisations: list[Authorisation], now_us: int
) -> None:
    assert sharing(camera.paused(now_us), authorisations, now_us) != "on"
    assert sharing(camera.removed(now_us), authorisations, now_us) == "stopped"


def test_a_clock_that_stepped_back_opens_nothing_from_before_the_pause() -> None:
    resumed = CAMERA.paused(1_000).resumed(400)
    assert (resumed.paused_at_us, resumed.resumed_at_us) == (None, 1_000)
    assert CAMERA.paused(1_000).resumed(2_000).resumed_at_us == 2_000


def test_a_new_source_names_its_pool_anew() -> None:
    moved = CAMERA.moved_to_source("depot", "key-2", 9)
    assert (moved.version, moved.pool_version, moved.source_version) == (8, 8, 3)
    assert (moved.ingest_pool, moved.source_key_id, moved.source_set_at_us) == ("depot", "key-2", 9)


@given(SCOPES, SCOPES)
def test_a_narrowing_allows_nothing_that_was_not_allowed(before: Scope, after: Scope) -> None:
    widened = widened_fields(before, after)
    assert widened_fields(before, before) == []
    assert ("agencies" in widened) == bool(set(after.agencies) - set(before.agencies))
    assert ("purposes" in widened) == bool(set(after.purposes) - set(before.purposes))
    assert ("expires_at" in widened) == (after.expires_at_us > before.expires_at_us)
    if not widened and not widened_fields(after, before):
        assert replace(after, schedule=None) == replace(before, schedule=None)
    if after.schedule is None and before.schedule is not None:
        assert "schedule" in widened


@given(SCOPES, SCOPES, SCOPES)
def test_two_narrowings_are_one(first: Scope, second: Scope, third: Scope) -> None:
    if not widened_fields(first, second) and not widened_fields(second, third):
        assert widened_fields(first, third) == []


@pytest.mark.parametrize(
    ("now", "latest"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2027, 3, 1, 12, tzinfo=UTC)),
        (datetime(2027, 3, 1, 12, tzinfo=UTC), datetime(2028, 3, 1, 12, tzinfo=UTC)),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), datetime(2029, 2, 28, 12, tzinfo=UTC)),
    ],
)
def test_an_authorisation_lasts_at_most_a_year_of_the_calendar(now: datetime, latest: datetime) -> None:
    assert latest_expiry_us(to_us(now)) == to_us(latest)
    check_expiry(to_us(latest), to_us(now))
    check_expiry(to_us(now) + 1, to_us(now))
    for refused_us in (to_us(latest) + 1, to_us(now), to_us(now) - 1):
        with pytest.raises(ExpiryError, match="not after"):
            check_expiry(refused_us, to_us(now))


def test_the_largest_record_that_settings_and_forms_allow_is_taken_by_its_topic() -> None:
    days = get_args(Day)
    apart = [
        Span(days, *(f"{minute // 60:02d}:{minute % 60:02d}" for minute in (first, first + 13)))
        for first in range(150, 150 + 26 * (MOST_SPANS - 1), 26)
    ]
    past_midnight = Span(days, "23:59", "02:00")
    most = RegistrySettings.model_fields["most_authorisations"].metadata
    (count,) = [limit.le for limit in most if isinstance(limit, Le)]
    scope = Scope(
        agencies=tuple(f"{number:02d}{'a' * (LONGEST_AGENCY - 2)}" for number in range(MOST_AGENCIES)),
        purposes=get_args(Purpose),
        renditions=get_args(Rendition),
        schedule=weekly(max(available_timezones(), key=len), [*apart, past_midnight]),
        expires_at_us=LATE_US + 1,
    )
    authorisations = [
        Authorisation(new_id(), CAMERA.camera_id, 1, scope, "standing", given_at_us=LATE_US)
        for _ in range(int(str(count)))
    ]
    camera = replace(
        CAMERA,
        camera_id=new_id(),
        version=2**31,
        jurisdiction="AR-B" + "-ABCDEFGH",
        ingest_pool="p" * 63,
        pool_version=2**31,
        resumed_at_us=LATE_US,
    )
    state = camera_state(camera, authorisations, LATE_US)
    assert len(state.terms) == count
    assert len(state.terms[0].schedule.windows) == 7 * (MOST_SPANS + 1)
    headers = headers_for(
        type=state.DESCRIPTOR.full_name, source="registry", subject=camera.camera_id, clock=SystemClock()
    )
    record = Record(camera.camera_id, state.SerializeToString(), headers | {VERSION_HEADER: str(2**31)})
    topic = load_topics()[CAMERA_STATE]
    assert fits(record, topic), size_bytes(record)
    # Stops are never refused, so there is room for what they could add.
    assert size_bytes(record) < topic.setting("max.message.bytes") * 0.75
