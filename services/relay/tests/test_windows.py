"""The right of a view: grant and terms, intersected."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_contracts.camera.v1.camera_pb2 import (
    SHARING_ON,
    SHARING_PAUSED,
    SHARING_STOPPED,
    SHARING_UNSPECIFIED,
    ViewerCaps,
    WeeklySchedule,
    WeeklyWindow,
)
from feedgate_contracts.frame.v1.frame_pb2 import NoticeCode
from feedgate_contracts.grant.v1.grant_pb2 import GRANT_PHASE_CLOSED, GRANT_PHASE_UNSPECIFIED
from feedgate_kit.clock import MICROSECONDS
from feedgate_relay.admission import Limits
from feedgate_relay.reasons import Reason
from feedgate_relay.ticket import Ticket
from feedgate_relay.windows import Window, open_window
from services.relay.tests.scene import (
    AGENCY,
    CAMERA_ID,
    GRANT_ID,
    HOUR_US,
    OPERATOR,
    PURPOSE,
    STREAM,
    camera_state,
    grant_state,
    terms,
)

NOW_US = 1_795_000_000 * MICROSECONDS
LIMITS = Limits(skew_us=500_000, stall_us=500_000)


def ticket(**changes: Any) -> Ticket:
    values: dict[str, Any] = {
        "ticket_id": "1",
        "operator": OPERATOR,
        "agency": AGENCY,
        "grant_id": GRANT_ID,
        "camera_id": CAMERA_ID,
        "stream": STREAM,
        "purpose": PURPOSE,
        "issued_at_us": NOW_US,
        "expires_at_us": NOW_US + 60 * MICROSECONDS,
        "view_until_us": NOW_US + 8 * HOUR_US,
    }
    return Ticket(**{**values, **changes})


def window(
    camera: dict[str, Any] | None = None,
    grant: dict[str, Any] | None = None,
    *,
    view_until_us: int = NOW_US + 8 * HOUR_US,
    camera_read_to_us: int | None = NOW_US,
    now_us: int = NOW_US,
    **of_ticket: Any,
) -> Window:
    return open_window(
        camera_state(NOW_US, **(camera or {})),
        grant_state(NOW_US, **(grant or {})),
        ticket(**of_ticket),
        LIMITS,
        view_until_us=view_until_us,
        now_us=now_us,
        camera_read_to_us=camera_read_to_us,
    )


def verdict(of: Window) -> tuple[str, str]:
    assert of.shut is not None
    return NoticeCode.Name(of.shut.code).removeprefix("NOTICE_CODE_").lower(), of.shut.reason


def test_a_window_opens_with_the_last_of_its_openings_and_closes_with_the_first_of_its_ends() -> None:
    opened = window()
    assert opened.shut is None
    assert opened.opens_at_us == NOW_US - HOUR_US // 2  # the grant's
    assert opened.received_from_us == opened.opens_at_us + 1_000_000
    assert (opened.closes_at_us, opened.closes_because) == (NOW_US + 6 * HOUR_US, Reason.GRANT_EXPIRED)
    assert opened.mask_version == 1


@given(
    opens=st.tuples(*[st.integers(-3600, 0)] * 3),
    ends=st.tuples(*[st.integers(1, 3600)] * 3),
)
def test_every_opening_and_every_end_counts(opens: tuple[int, ...], ends: tuple[int, ...]) -> None:
    grant, of_terms, resumed = (NOW_US + s * MICROSECONDS for s in opens)
    not_after, expires, view_until = (NOW_US + s * MICROSECONDS for s in ends)
    opened = window(
        {"resumed_at_us": resumed, "terms": [terms(NOW_US, opens_at_us=of_terms, expires_at_us=expires)]},
        {"opens_at_us": grant, "not_after_us": not_after},
        view_until_us=view_until,
    )
    assert opened.opens_at_us == max(grant, of_terms, resumed)
    assert opened.closes_at_us == min(not_after, expires, view_until)


def test_of_ends_at_one_moment_the_one_is_named_that_no_fresh_ticket_helps_against() -> None:
    at_us = NOW_US + 60 * MICROSECONDS
    by_grant = window(None, {"not_after_us": at_us}, view_until_us=at_us)
    assert (by_grant.closes_at_us, by_grant.closes_because) == (at_us, Reason.GRANT_EXPIRED)
    by_owner = window({"terms": [terms(NOW_US, expires_at_us=at_us)]}, None, view_until_us=at_us)
    assert by_owner.closes_because == Reason.AUTHORISATION_EXPIRED


def test_the_owners_hours_open_and_close_a_window_too() -> None:
    # NOW_US is a Wednesday, 2026-11-18 11:06:40 UTC.
    hours = WeeklySchedule(
        time_zone="UTC", windows=[WeeklyWindow(weekday=3, from_minute=660, until_minute=670)]
    )
    opened = window({"terms": [terms(NOW_US, schedule=hours)]})
    assert NOW_US - opened.opens_at_us == 400 * MICROSECONDS
    assert opened.closes_at_us - NOW_US == 200 * MICROSECONDS
    assert opened.closes_because == Reason.OUT_OF_HOURS


def other_terms(**changes: Any) -> dict[str, Any]:
    return {"terms": [terms(NOW_US, **changes)]}


HOURS_TO_COME = WeeklySchedule(
    time_zone="UTC", windows=[WeeklyWindow(weekday=3, from_minute=720, until_minute=730)]
)
ATLANTIS = WeeklySchedule(time_zone="Europe/Atlantis")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: window({"removed": True}), ("stopped", "camera_removed")),
        (lambda: window({"terms": [], "sharing": SHARING_STOPPED}), ("stopped", "authorisation_withdrawn")),
        (lambda: window(other_terms(authorisation_id="b")), ("stopped", "authorisation_withdrawn")),
        (lambda: window(other_terms(agencies=["b"])), ("stopped", "terms_narrowed")),
        (lambda: window(other_terms(purposes=["b"])), ("stopped", "terms_narrowed")),
        (lambda: window(other_terms(renditions=["masked"])), ("stopped", "terms_narrowed")),
        (lambda: window(other_terms(expires_at_us=NOW_US)), ("stopped", "authorisation_expired")),
        (
            lambda: window({}, {"phase": GRANT_PHASE_CLOSED, "closed_reason": "ended_by_operator"}),
            ("stopped", "grant_closed:ended_by_operator"),
        ),
        (lambda: window({}, {"not_after_us": NOW_US}), ("stopped", "grant_expired")),
        (lambda: window({}, {"operators": []}), ("stopped", "operator_not_named")),
        (lambda: window({}, {"camera_id": "b"}), ("stopped", "ticket_mismatch")),
        (lambda: window({}, {"agency": "b"}), ("stopped", "ticket_mismatch")),
        (lambda: window({}, {"purpose": "b"}), ("stopped", "ticket_mismatch")),
        (lambda: window(stream=f"{CAMERA_ID}/masked"), ("stopped", "ticket_mismatch")),
        (lambda: window({"sharing": SHARING_PAUSED}), ("paused_by_owner", "paused")),
        (lambda: window(other_terms(schedule=HOURS_TO_COME)), ("out_of_schedule", "out_of_hours")),
        (
            lambda: window(other_terms(schedule=WeeklySchedule(time_zone="UTC"))),
            ("out_of_schedule", "out_of_hours"),
        ),
        (lambda: window({}, {"opens_at_us": NOW_US + HOUR_US}), ("out_of_schedule", "not_yet_open")),
        (lambda: window(view_until_us=NOW_US), ("view_ended", "ticket_expired")),
        (lambda: window({"sharing": SHARING_UNSPECIFIED}), ("not_fresh", "record_unreadable")),
        (lambda: window({}, {"phase": GRANT_PHASE_UNSPECIFIED}), ("not_fresh", "record_unreadable")),
        (lambda: window({"resumed_at": None}), ("not_fresh", "record_unreadable")),
        (lambda: window(other_terms(opens_at=None)), ("not_fresh", "record_unreadable")),
        (lambda: window({}, {"opens_at": None}), ("not_fresh", "record_unreadable")),
        (lambda: window(other_terms(caps=ViewerCaps())), ("not_fresh", "record_unreadable")),
        (
            lambda: window(other_terms(caps=ViewerCaps(concurrent_viewers=3))),
            ("not_fresh", "record_unreadable"),
        ),
        (lambda: window(other_terms(schedule=ATLANTIS)), ("not_fresh", "record_unreadable")),
    ],
)
def test_what_does_not_permit_denies_and_says_why(
    make: Callable[[], Window], expected: tuple[str, str]
) -> None:
    shut = make()
    assert verdict(shut) == expected
    assert shut.closes_at_us < NOW_US - 100 * HOUR_US
    assert shut.shut is not None
    assert shut.shut.for_ever == (expected[0] in {"stopped", "view_ended"})


@pytest.mark.parametrize("missing", ["camera", "grant"])
def test_a_missing_record_denies(missing: str) -> None:
    shut = open_window(
        None if missing == "camera" else camera_state(NOW_US),
        None if missing == "grant" else grant_state(NOW_US),
        ticket(),
        LIMITS,
        view_until_us=NOW_US + HOUR_US,
        now_us=NOW_US,
        camera_read_to_us=NOW_US,
    )
    assert verdict(shut) == ("not_fresh", "record_missing")


def test_hours_to_come_are_told() -> None:
    shut = window(other_terms(schedule=HOURS_TO_COME)).shut
    assert shut is not None
    assert shut.until_us == NOW_US + 3_200 * MICROSECONDS


@pytest.mark.parametrize(
    ("read_to_us", "expected"),
    [
        (None, ("not_fresh", "record_unread")),
        (NOW_US - HOUR_US, ("not_fresh", "record_unread")),
        (NOW_US - HOUR_US // 2 + 499_999, ("not_fresh", "record_unread")),
        (NOW_US - HOUR_US // 2 + 500_000, ("stopped", "authorisation_withdrawn")),
    ],
)
def test_an_absent_authorisation_is_withdrawn_only_if_the_camera_was_read_past_the_grant(
    read_to_us: int | None, expected: tuple[str, str]
) -> None:
    assert verdict(window(other_terms(authorisation_id="b"), camera_read_to_us=read_to_us)) == expected


def test_a_second_authorisation_of_the_same_camera_does_not_help() -> None:
    both = {"terms": [terms(NOW_US, authorisation_id="b"), terms(NOW_US, agencies=["b"])]}
    assert verdict(window(both)) == ("stopped", "terms_narrowed")
    assert (
        window({"terms": [terms(NOW_US, authorisation_id="b"), terms(NOW_US)], "sharing": SHARING_ON}).shut
        is None
    )
