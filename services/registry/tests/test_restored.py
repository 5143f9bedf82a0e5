"""After a restore a camera shows no more than its owner's last word, under a version that readers take."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.published import LOST_IN_RESTORE, Published
from feedgate_kit.timestamps import timestamp
from feedgate_registry.authorisation import Authorisation, Scope
from feedgate_registry.camera import Camera, Place
from feedgate_registry.narrowing import common_scope, widened_fields
from feedgate_registry.restored import Act, restored, stopped
from feedgate_registry.schedule import Schedule, Span, Window, common_hours, weekly
from feedgate_registry.will import camera_state

from .test_will import CAMERA, SCOPES

NOW_US = 1_000_000
ALONE = Act("camera.restored")
SCOPE = Scope(("norte", "sur"), ("detect", "prevent"), ("original",), None, expires_at_us=9_000_000)
FIRST = Authorisation("first", CAMERA.camera_id, 1, SCOPE, "standing", given_at_us=1)
SECOND = replace(FIRST, authorisation_id="second", given_at_us=2)
OFFICE_HOURS = weekly("UTC", [Span(("mon", "tue"), "08:00", "20:00")])

Change = Callable[[camera_pb.CameraState], object]


def published(change: Change = lambda _: None, camera: Camera = CAMERA) -> Published[camera_pb.CameraState]:
    """Version 9 of a camera whose backup is of version 7, shared under both authorisations."""
    state = camera_state(replace(camera, version=9), [FIRST, SECOND], NOW_US)
    change(state)
    return Published(9, state)


def withdraw_second(state: camera_pb.CameraState) -> None:
    del state.terms[1]


def stop(state: camera_pb.CameraState) -> None:
    del state.terms[:]
    state.sharing = camera_pb.SHARING_STOPPED


def pause(state: camera_pb.CameraState) -> None:
    state.sharing = camera_pb.SHARING_PAUSED


def remove(state: camera_pb.CameraState) -> None:
    stop(state)
    state.removed = True


def narrow_first(state: camera_pb.CameraState) -> None:
    narrowed = FIRST.narrowed(
        replace(SCOPE, agencies=("sur",), schedule=OFFICE_HOURS, expires_at_us=5_000_000)
    )
    state.terms[0].CopyFrom(narrowed.to_terms())


def let_first_expire(state: camera_pb.CameraState) -> None:
    state.terms[0].expires_at.CopyFrom(timestamp(NOW_US))


def empty_first(state: camera_pb.CameraState) -> None:
    state.terms[0].agencies[:] = ["este"]


def cap_first(state: camera_pb.CameraState) -> None:
    state.terms[0].caps.daily_minutes = 5


def authorise_third(state: camera_pb.CameraState) -> None:
    state.terms.append(replace(FIRST, authorisation_id="third").to_terms())


@pytest.mark.parametrize(
    ("change", "terms", "acts"),
    [
        pytest.param(lambda _: None, ["first", "second"], [ALONE], id="nothing but the version"),
        pytest.param(
            withdraw_second, ["first"], [ALONE, Act("authorisation.withdrawn", "second")], id="withdrawn"
        ),
        pytest.param(
            stop,
            [],
            [
                ALONE,
                Act("camera.paused"),
                Act("authorisation.withdrawn", "first"),
                Act("authorisation.withdrawn", "second"),
            ],
            id="all withdrawn: a pause beneath is not excluded",
        ),
        pytest.param(pause, ["first", "second"], [ALONE, Act("camera.paused")], id="paused"),
        pytest.param(
            remove,
            [],
            [
                ALONE,
                Act("camera.removed"),
                Act("authorisation.withdrawn", "first"),
                Act("authorisation.withdrawn", "second"),
            ],
            id="removed",
        ),
        pytest.param(
            narrow_first, ["first", "second"], [ALONE, Act("authorisation.narrowed", "first")], id="narrowed"
        ),
        pytest.param(
            let_first_expire, ["second"], [ALONE, Act("authorisation.expired", "first")], id="ends earlier"
        ),
        pytest.param(
            empty_first, ["second"], [ALONE, Act("authorisation.withdrawn", "first")], id="nothing in common"
        ),
        pytest.param(
            cap_first,
            ["second"],
            [ALONE, Act("authorisation.withdrawn", "first")],
            id="terms that show nothing",
        ),
        pytest.param(
            authorise_third,
            ["first", "second"],
            [ALONE, Act("authorisation.withdrawn", "third")],
            id="given since: the database cannot withdraw it",
        ),
    ],
)
def test_the_topic_wins_where_it_shows_less(change: Change, terms: list[str], acts: list[Act]) -> None:
    after = restored(CAMERA, [FIRST, SECOND], published(change), NOW_US)
    assert list(after.acts) == acts
    changed = {one.authorisation_id: one for one in after.changed}
    now = [changed.get(one.authorisation_id, one) for one in (FIRST, SECOND)]
    state = camera_state(after.camera, now, NOW_US)
    assert state.version == 10
    assert [one.authorisation_id for one in state.terms] == terms
    assert all(one.version == 2 for one in after.changed)
    assert after.erases_source is (change is remove)


def test_narrowed_terms_are_taken_over() -> None:
    [first] = restored(CAMERA, [FIRST, SECOND], published(narrow_first), NOW_US).changed
    assert first.scope == replace(SCOPE, agencies=("sur",), schedule=OFFICE_HOURS, expires_at_us=5_000_000)


def test_a_record_that_cannot_be_read_shows_nothing() -> None:
    after = restored(CAMERA, [FIRST], Published(9, None), NOW_US)
    assert after.camera == replace(CAMERA, version=10, paused_at_us=NOW_US)
    assert list(after.changed) == [FIRST.withdrawn(NOW_US)]


def test_a_pause_and_a_removal_of_the_backup_stay() -> None:
    paused = replace(CAMERA, paused_at_us=5)
    assert restored(paused, [FIRST], published(), NOW_US).camera == replace(paused, version=10)
    removed = replace(CAMERA, removed_at_us=5)
    assert restored(removed, [], published(), NOW_US).camera == replace(removed, version=10)


def test_what_expired_since_the_backup_is_expired_not_withdrawn() -> None:
    late_us = SCOPE.expires_at_us
    after = restored(CAMERA, [FIRST], published(stop), late_us)
    assert list(after.changed) == [FIRST.expired(late_us)]


def test_the_place_is_the_owners_later_word() -> None:
    moved = replace(CAMERA, place=Place(-57.5, -38.0, 10.0, 20.0), jurisdiction="AR", resumed_at_us=77)
    after = restored(CAMERA, [FIRST, SECOND], published(camera=moved), NOW_US)
    assert after.camera == replace(moved, version=10)


def test_a_source_replaced_since_is_shown_no_more() -> None:
    moved = replace(CAMERA, ingest_pool="depot", pool_version=8)
    after = restored(CAMERA, [FIRST, SECOND], published(camera=moved), NOW_US)
    assert after.erases_source
    assert after.camera == replace(
        CAMERA, version=10, ingest_pool="depot", pool_version=10, source_key_id=LOST_IN_RESTORE
    )
    assert list(after.acts) == [ALONE, Act("camera.source_lost")]


def test_a_camera_the_database_never_heard_of_is_removed() -> None:
    state = stopped(CAMERA.camera_id, published())
    assert state is not None
    assert (state.version, state.removed, state.owner) == (10, True, CAMERA.owner)
    assert (state.sharing, list(state.terms)) == (camera_pb.SHARING_STOPPED, [])
    assert stopped(CAMERA.camera_id, published(remove)) is None
    unread = stopped("key", Published(4, None))
    assert unread is not None
    assert (unread.camera_id, unread.version, unread.removed) == ("key", 5, True)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        pytest.param(None, None, None, id="always"),
        pytest.param(None, OFFICE_HOURS, OFFICE_HOURS, id="always, and hours"),
        pytest.param(
            OFFICE_HOURS,
            weekly("UTC", [Span(("tue", "wed"), "18:00", "22:00")]),
            Schedule("UTC", (Window(2, 1080, 1200),)),
            id="an overlap",
        ),
        pytest.param(
            OFFICE_HOURS,
            weekly("UTC", [Span(("mon",), "20:00", "21:00")]),
            Schedule("UTC", ()),
            id="they touch",
        ),
        pytest.param(
            OFFICE_HOURS,
            weekly("Europe/London", [Span(("mon",), "09:00", "10:00")]),
            Schedule("UTC", ()),
            id="two zones",
        ),
    ],
)
def test_hours_that_both_have(one: Schedule | None, other: Schedule | None, common: Schedule | None) -> None:
    assert common_hours(one, other) == common


@given(SCOPES, SCOPES)
def test_what_both_allow_is_wider_than_neither(one: Scope, other: Scope) -> None:
    common = common_scope(one, other)
    if common is not None:
        assert widened_fields(one, common) == widened_fields(other, common) == []
    if not widened_fields(one, other):
        assert common == other
