"""What a viewer is sent and told, from the ticket to the last notice."""

import asyncio

import pytest

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, SHARING_PAUSED, WeeklySchedule, WeeklyWindow
from feedgate_contracts.feed.v1.feed_pb2 import FEED_PHASE_RETRYING, FeedState
from feedgate_contracts.grant.v1.grant_pb2 import GRANT_PHASE_CLOSED
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.ids import new_run
from feedgate_kit.topics import CAMERA_STATE, GRANT_STATE, audit_events
from feedgate_relay.close_codes import CloseCode
from feedgate_relay.reasons import Reason
from feedgate_relay.ticket import TicketError
from feedgate_relay.view import CAMERA_TROUBLED
from feedgate_relay.views import RefusedError
from services.relay.tests.scene import (
    CAMERA_ID,
    STREAM,
    Lens,
    camera_state,
    grant_state,
    heartbeat_record,
    state_record,
    terms,
)
from services.relay.tests.stage import SKEW_US, STALL_US, RecordedConnection, Stage, Watching

KEYFRAME, DISCONTINUITY = 1, 2


async def live(stage: Stage) -> Watching:
    """A view that has had a few pictures."""
    watching = await stage.watch()
    await stage.film(5)
    assert watching.pictures == [0, 1, 2, 3, 4]
    return watching


# Opening


async def test_a_view_begins_with_hello_the_record_of_it_and_a_keyframe(stage: Stage) -> None:
    watching = await stage.watch()
    hello = watching.notices.messages()[0]
    assert (hello["n"], hello["type"], hello["lease_ms"], hello["stream"]) == (0, "hello", 3000, STREAM)
    assert [record.event for record in await stage.audit()] == ["view.started"]

    stage.lens.unit()  # the relay comes to the stream after its keyframe
    await stage.film(10)

    assert watching.pictures == [10]
    first, picture = watching.media.media()
    assert (first.kind, first.flags) == (1, 0)
    assert (picture.kind, picture.flags) == (2, KEYFRAME)
    assert watching.notices.codes() == ["waiting_for_keyframe", "started"]


class SlowLog:
    """An event log that acknowledges when it is told to."""

    def __init__(self) -> None:
        self.acknowledging = asyncio.Event()

    async def append(self, record: Record) -> None:
        del record
        await self.acknowledging.wait()


async def test_no_picture_flows_before_the_bus_holds_the_record_of_the_view(stage: Stage) -> None:
    log = SlowLog()
    stage.outgoing._find_log = lambda topic: log
    view, notices = await stage.open()
    media = RecordedConnection(stage.clock)
    secret = notices.messages()[0]["media_secret"]
    opening = asyncio.create_task(stage.views.open_media(stage.views.claim(secret), media))
    await stage.film(5)
    assert stage.hub().gop.pictures
    assert media.written == []
    assert not view.demands
    log.acknowledging.set()
    await opening
    assert media.pictures() == [0, 1, 2, 3, 4]
    assert view.demands


async def test_a_cached_group_serves_a_viewer_who_comes_later(stage: Stage) -> None:
    await live(stage)
    second = await stage.watch()
    assert second.pictures == [0, 1, 2, 3, 4]
    assert second.notices.codes() == ["started"]
    await stage.film(1)
    assert second.pictures[-1] == 5


async def test_a_cached_group_older_than_three_seconds_is_not_served(stage: Stage) -> None:
    await live(stage)
    await stage.pass_time(3_000)
    second = await stage.watch()
    assert second.pictures == []
    assert second.notices.codes()[0] == "waiting_for_keyframe"


async def test_pictures_received_before_the_window_and_its_margin_stay_unseen(stage: Stage) -> None:
    await stage.change_camera(resumed_at_us=stage.clock.now_us())
    watching = await stage.watch()
    await stage.film(11)
    margin_us = SKEW_US + STALL_US
    assert 11 * 40_000 > margin_us > 7 * 40_000
    assert watching.pictures == [10]


async def test_a_ticket_opens_one_view(stage: Stage) -> None:
    ticket = stage.ticket()
    _, notices = await stage.open()
    await stage.views.open(ticket, notices)
    with pytest.raises(TicketError) as refused:
        await stage.views.open(ticket, notices)
    assert refused.value.reason == Reason.TICKET_USED
    assert [record.event for record in await stage.audit()] == ["view.refused"]


async def test_a_media_secret_opens_one_socket_within_ten_seconds(stage: Stage) -> None:
    _, notices = await stage.open()
    secret = notices.messages()[0]["media_secret"]
    stage.views.claim(secret)
    with pytest.raises(RefusedError, match="secret_refused"):
        stage.views.claim(secret)

    view, notices = await stage.open()
    await stage.pass_time(10_500)
    assert view.ended
    assert notices.ended is not None
    assert notices.ended[0] == CloseCode.MEDIA_NOT_OPENED
    with pytest.raises(RefusedError, match="secret_refused"):
        stage.views.claim(notices.messages()[0]["media_secret"])


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        ({"operator": "op-another"}, Reason.OPERATOR_NOT_NAMED),
        ({"agency": "another"}, Reason.TICKET_MISMATCH),
        ({"purpose": "vital_interest"}, Reason.TICKET_MISMATCH),
        ({"stream": f"{CAMERA_ID}/masked"}, Reason.TICKET_MISMATCH),
    ],
)
async def test_a_ticket_that_does_not_fit_the_grant_opens_nothing(
    stage: Stage, ticket: dict[str, str], reason: Reason
) -> None:
    with pytest.raises(RefusedError) as refused:
        await stage.open(**ticket)
    assert refused.value.reason == reason
    assert [(record.event, record.reason) for record in await stage.audit()] == [("view.refused", reason)]


# Stopping


async def test_withdrawal_stops_at_once_and_for_ever(stage: Stage) -> None:
    watching = await live(stage)
    stage.clock.step(milliseconds=40)
    await stage.withdraw()

    assert watching.notices.notices()[-1] == ("stopped", Reason.AUTHORISATION_WITHDRAWN)
    assert watching.media.ended == (CloseCode.AUTHORISATION_WITHDRAWN, "authorisation_withdrawn", 0.25)
    shown = watching.pictures
    watching.media.drop()
    assert len(stage.views) == 0
    ended = next(record for record in await stage.audit() if record.event == "view.ended")
    assert (ended.reason, ended.usage.pictures) == ("authorisation_withdrawn", 5)
    assert ended.dark_at.ToMicroseconds() == stage.clock.now_us() - 40_000
    assert watching.pictures == shown

    with pytest.raises(RefusedError, match="authorisation_withdrawn"):
        await stage.open()


@pytest.mark.parametrize("ending", ["withdrawn", "expired", "stopping"])
async def test_all_views_that_end_together_are_told_before_any_is_put_away(stage: Stage, ending: str) -> None:
    await stage.change_grant(not_after_us=stage.clock.now_us() + 3 * MICROSECONDS)
    several = [await live(stage)] + [await stage.watch() for _ in range(4)]
    told: list[
        tuple[int, int]
    ] = []  # at each piece of bookkeeping: views told that they ended, views still counted

    def note() -> None:
        ends = [watching.notices.codes()[-1] in {"stopped", "view_ended"} for watching in several]
        told.append((sum(ends), len(stage.views)))

    stage.views.on_change = note
    for watching in several:
        watching.media.on_end = note
    match ending:
        case "withdrawn":
            await stage.withdraw()
        case "expired":
            await stage.pass_time(3_000)
        case "stopping":
            stage.views.stop()
    assert {counted for ends, counted in told if 0 < ends < 5} == set()
    assert told[-1] == (5, 0)
    assert stage.metrics.registry.get_sample_value("relay_views_open") == 0
    assert all(watching.view.ended for watching in several)


async def test_the_notice_socket_waits_a_second_for_dark_which_is_put_on_record(stage: Stage) -> None:
    watching = await live(stage)
    await stage.withdraw()
    assert watching.notices.ended is None
    watching.view.hear('{"type":"dark","ms":3,"code":"camera_lost"}')  # of an earlier cover
    stage.clock.step(milliseconds=30)
    watching.view.hear('{"type":"dark","ms":27,"code":"stopped"}')
    watching.view.hear('{"type":"dark","ms":1,"code":"stopped"}')
    assert watching.notices.ended is not None
    dark = [record for record in await stage.audit() if record.event == "view.dark"]
    assert [(record.dark_ms, record.reason) for record in dark] == [(27, "stopped")]


async def test_a_page_cannot_have_been_dark_later_than_it_says_so(stage: Stage) -> None:
    watching = await live(stage)
    await stage.withdraw()
    stage.clock.step(milliseconds=40)
    watching.view.hear('{"type":"dark","ms":1000000000,"code":"stopped"}')
    dark = [record for record in await stage.audit() if record.event == "view.dark"]
    assert [record.dark_ms for record in dark] == [40]


async def test_the_notice_socket_closes_by_itself_where_no_dark_comes(stage: Stage) -> None:
    watching = await live(stage)
    await stage.withdraw()
    await stage.pass_time(750)
    assert watching.notices.ended is None
    await stage.pass_time(500)
    assert watching.notices.ended is not None


@pytest.mark.parametrize(
    ("narrowed", "reason"),
    [
        ({"agencies": ["another"]}, "terms_narrowed"),
        ({"purposes": ["another"]}, "terms_narrowed"),
        ({"renditions": ["masked"]}, "terms_narrowed"),
        ({"authorisation_id": "another"}, "authorisation_withdrawn"),
    ],
)
async def test_narrowing_bites_at_once(stage: Stage, narrowed: dict[str, object], reason: str) -> None:
    watching = await live(stage)
    await stage.change_camera(terms=[terms(stage.clock.now_us(), **narrowed)])
    assert watching.notices.notices()[-1] == ("stopped", reason)
    assert watching.media.ended is not None


async def test_a_closed_grant_says_why_it_was_closed(stage: Stage) -> None:
    watching = await live(stage)
    await stage.change_grant(phase=GRANT_PHASE_CLOSED, closed_reason="ended_by_operator")
    assert watching.notices.notices()[-1] == ("stopped", "grant_closed:ended_by_operator")
    assert watching.media.ended is not None
    assert watching.media.ended[0] == CloseCode.GRANT_CLOSED


async def test_an_expiring_grant_warns_and_then_stops(stage: Stage) -> None:
    await stage.change_grant(not_after_us=stage.clock.now_us() + 61 * MICROSECONDS)
    watching = await live(stage)
    assert "expiring" not in watching.notices.codes()
    await stage.pass_time(1_500)
    assert ("expiring", Reason.GRANT_EXPIRED) in watching.notices.notices()
    await stage.film(1)
    await stage.pass_time(60_000)
    assert watching.notices.notices()[-1] == ("stopped", "grant_expired")
    assert watching.notices.codes().count("expiring") == 1


async def test_a_view_ends_with_its_ticket_and_a_further_one_extends_it(stage: Stage) -> None:
    until_us = stage.clock.now_us() + 90 * MICROSECONDS
    watching = await stage.watch(view_until_us=until_us)
    await stage.pass_time(80_000)
    await stage.views.extend(watching.view, stage.ticket(view_until_us=until_us + 20 * MICROSECONDS))
    assert [m["accepted"] for m in watching.notices.messages() if m["type"] == "ticket"] == [True]
    await stage.pass_time(20_000)
    assert not watching.view.ended
    await stage.pass_time(11_000)
    assert watching.notices.notices()[-1] == ("view_ended", "ticket_expired")
    assert watching.notices.ended is not None
    assert watching.notices.ended[0] == CloseCode.TICKET_EXPIRED


@pytest.mark.parametrize(
    "changes", [{"operator": "op-another"}, {"grant_id": "another"}, {"stream": "another/x"}]
)
async def test_another_views_ticket_extends_nothing(stage: Stage, changes: dict[str, str]) -> None:
    watching = await live(stage)
    with pytest.raises(TicketError) as refused:
        await stage.views.extend(watching.view, stage.ticket(**changes))
    assert refused.value.reason == Reason.TICKET_MISMATCH


# Interruptions


async def test_a_pause_covers_and_a_resume_shows_only_what_comes_after_it(stage: Stage) -> None:
    watching = await live(stage)
    await stage.change_camera(sharing=SHARING_PAUSED)
    assert watching.notices.notices()[-1] == ("paused_by_owner", "paused")
    assert not watching.view.demands
    await stage.film(10)
    assert watching.pictures == [0, 1, 2, 3, 4]
    assert watching.media.ended is None

    await stage.change_camera(sharing=SHARING_ON, resumed_at_us=stage.clock.now_us())
    assert watching.pictures == [0, 1, 2, 3, 4]
    await stage.film(20)
    assert watching.pictures[5] == 30  # the first keyframe received a margin after the resume
    assert watching.notices.codes()[-2:] == ["waiting_for_keyframe", "resumed"]
    again = [message for message in watching.media.media() if message.kind == 1]
    assert len(again) == 2  # the page has forgotten all it had
    assert again[1].flags == DISCONTINUITY


async def test_nothing_is_shown_when_heartbeats_stop_and_pictures_come_again_with_them(stage: Stage) -> None:
    watching = await live(stage)
    await stage.pass_time(3_800, beating=False)
    stage.show(stage.lens.unit())
    stage.clock.step(milliseconds=240)
    shown = watching.pictures
    stage.show(*stage.lens.skip_to_keyframe().units(2))
    assert watching.pictures == shown
    stage.views.check()
    assert watching.notices.notices()[-1] == ("not_fresh", "heartbeat_old")
    assert not watching.view.demands
    with_old_news = stage.clock.now_us() - 4_100_000
    await stage.beat(with_old_news)
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    assert watching.pictures == shown

    await stage.film(25)
    assert len(watching.pictures) > len(shown)
    assert watching.notices.codes()[-1] == "resumed"


async def test_one_stale_copy_is_enough_to_show_nothing(stage: Stage) -> None:
    watching = await live(stage)
    for _ in range(10):
        stage.clock.step(milliseconds=450)
        await stage.bus.state_log(CAMERA_STATE).append(heartbeat_record(stage.clock.now_us()))
        await stage.settle()
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    assert watching.pictures == [0, 1, 2, 3, 4]
    await stage.bus.state_log(GRANT_STATE).append(heartbeat_record(stage.clock.now_us()))
    await stage.settle()
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    assert len(watching.pictures) == 6


async def test_a_heartbeat_from_the_future_beyond_the_skew_vouches_for_nothing(stage: Stage) -> None:
    watching = await live(stage)
    await stage.beat(stage.clock.now_us() + SKEW_US + 1)
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    assert watching.pictures == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_clock_that_no_heartbeat_agrees_with_shows_nothing_and_ends_nothing(
    stage: Stage, hours: int
) -> None:
    watching = await live(stage)
    stage.clock.at_us += hours * 3_600 * MICROSECONDS  # ticket and grant are over by it, or not yet begun
    stage.views.check()
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    assert watching.pictures == [0, 1, 2, 3, 4]
    assert watching.notices.notices()[-1] == ("not_fresh", "heartbeat_old")
    stage.clock.at_us -= hours * 3_600 * MICROSECONDS
    await stage.film(25)
    assert watching.notices.codes()[-1] == "resumed"


async def test_a_used_ticket_stays_used_when_the_clock_steps_ahead_and_back(stage: Stage) -> None:
    await stage.watch(ticket_id="used")
    stage.clock.at_us += 2 * 3_600 * MICROSECONDS
    stage.views.check()
    stage.clock.at_us -= 2 * 3_600 * MICROSECONDS
    with pytest.raises(TicketError) as refused:
        await stage.open(ticket_id="used")
    assert refused.value.reason == Reason.TICKET_USED


async def test_freshness_is_also_bound_by_the_monotonic_clock(stage: Stage) -> None:
    watching = await live(stage)
    stage.clock.since_start_s += 4.0  # the wall clock was set back meanwhile
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    assert watching.pictures == [0, 1, 2, 3, 4]


async def test_an_unreadable_record_denies_its_key_until_a_higher_version(stage: Stage) -> None:
    watching = await live(stage)
    unreadable = Record(CAMERA_ID, b"\xff\xff", {"version": "2"})
    await stage.bus.state_log(CAMERA_STATE).append(unreadable)
    await stage.settle()
    assert watching.notices.notices()[-1] == ("not_fresh", "record_missing")
    await stage.film(10)
    assert watching.pictures == [0, 1, 2, 3, 4]
    await stage.change_camera(version=3)
    await stage.film(15)
    assert len(watching.pictures) > 5


async def test_outside_the_owners_hours_nothing_is_shown(stage: Stage) -> None:
    watching = await live(stage)
    never_now = WeeklySchedule(
        time_zone="UTC", windows=[WeeklyWindow(weekday=1, from_minute=0, until_minute=1)]
    )
    await stage.change_camera(terms=[terms(stage.clock.now_us(), schedule=never_now)])
    assert watching.notices.notices()[-1] == ("out_of_schedule", "out_of_hours")
    assert not watching.view.ended


async def test_a_camera_without_pictures_is_reported_lost_and_comes_back(stage: Stage) -> None:
    watching = await live(stage)
    await stage.pass_time(2_750)
    assert watching.notices.codes()[-1] == "started"
    await stage.pass_time(500)
    assert watching.notices.notices()[-1] == ("camera_lost", "no_pictures")
    stage.lens = Lens(stage.clock)  # ingest connects again: a new run
    await stage.film(3)
    assert watching.notices.codes()[-1] == "resumed"
    assert len(watching.pictures) == 8


async def test_what_ingest_says_of_the_camera_is_the_reason(stage: Stage) -> None:
    watching = await live(stage)
    stage.states.feeds[STREAM] = FeedState(
        stream=STREAM, phase=FEED_PHASE_RETRYING, reason="unreachable", detail="The camera does not answer."
    )
    await stage.pass_time(1_000)
    assert watching.notices.notices()[-1] == ("camera_lost", "unreachable")
    # The feed's own sentence is for the owner.
    assert watching.notices.messages()[-1]["detail"] == CAMERA_TROUBLED


async def test_a_view_whose_beginning_the_bus_does_not_take_is_ended_with_its_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(record: Record) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(stage.bus.event_log(audit_events("relay")), "append", never)
    monkeypatch.setattr("feedgate_relay.view.RECORDED_WITHIN_S", 0.01)
    watching = await stage.watch()
    assert watching.notices.notices()[-1] == ("view_ended", "audit_unavailable")
    assert watching.media.ended is not None
    assert watching.pictures == []


async def test_pictures_that_lag_more_than_three_seconds_are_not_shown_and_that_is_said(stage: Stage) -> None:
    watching = await live(stage)
    for _ in range(90):
        await stage.pass_time(40)
        stage.show(stage.lens.unit(received_at_us=stage.clock.now_us() - 3_100_000))
    assert watching.pictures == [0, 1, 2, 3, 4]
    assert ("gap", "too_old") in watching.notices.notices()
    assert watching.notices.notices()[-1] == ("waiting_for_keyframe", "too_old")


async def test_pictures_made_under_other_masks_are_not_shown(stage: Stage) -> None:
    watching = await live(stage)
    await stage.change_camera(mask_version=2)
    await stage.film(10)
    assert watching.pictures == [0, 1, 2, 3, 4]
    stage.lens.mask_version = 2
    await stage.film(10)
    assert watching.pictures[5] == 20 - 20 % 10


# Sources


async def test_a_lower_epoch_is_not_listened_to(stage: Stage) -> None:
    watching = await live(stage)
    older = Lens(stage.clock, epoch=(0, 99))
    stage.show(*older.units(3))
    assert watching.pictures == [0, 1, 2, 3, 4]
    newer = Lens(stage.clock, epoch=(2, 0))
    stage.show(*newer.units(3))
    assert watching.pictures == [0, 1, 2, 3, 4, 0, 1, 2]
    stage.show(*stage.lens.skip_to_keyframe().units(2))
    assert len(watching.pictures) == 8


async def test_a_new_run_brings_a_new_init_segment_and_says_it_does_not_follow(stage: Stage) -> None:
    watching = await live(stage)
    stage.show(*Lens(stage.clock, run=new_run()).units(1))
    init, picture = watching.media.media()[-2:]
    assert (init.kind, init.flags) == (1, DISCONTINUITY)
    assert (picture.kind, picture.flags) == (2, KEYFRAME | DISCONTINUITY)
    assert watching.notices.notices()[-1] == ("gap", "pictures_lost")


async def test_what_waited_before_a_gap_follows_and_the_keyframe_after_it_does_not(stage: Stage) -> None:
    watching = await live(stage)
    watching.media.block()
    stage.show(*stage.lens.units(2))
    stage.lens.unit()
    stage.show(*stage.lens.skip_to_keyframe().units(1))
    watching.media.unblock()
    assert [(message.sequence, message.flags) for message in watching.media.media()[-3:]] == [
        (5, 0),
        (6, 0),
        (10, KEYFRAME | DISCONTINUITY),
    ]


async def test_a_lost_unit_costs_the_rest_of_its_group_for_everybody(stage: Stage) -> None:
    watching = await live(stage)
    stage.lens.unit()
    await stage.film(6)
    assert watching.pictures == [0, 1, 2, 3, 4, 10, 11]
    assert watching.notices.codes()[-1] == "gap"
    assert watching.media.media()[-2].flags == KEYFRAME | DISCONTINUITY
    assert stage.metrics.registry.get_sample_value("relay_units_missed_total") == 1


async def test_repeated_and_unreadable_units_are_dropped_and_counted(stage: Stage) -> None:
    watching = await live(stage)
    unit = stage.lens.unit()
    stage.show(unit, unit, unit)
    stage.hub().take(b"no access unit")
    assert watching.pictures == [0, 1, 2, 3, 4, 5]
    dropped = stage.metrics.registry.get_sample_value
    assert dropped("relay_units_dropped_total", {"reason": "repeated"}) == 2
    assert dropped("relay_units_dropped_total", {"reason": "unreadable"}) == 1


# Slow viewers


async def test_what_waits_is_asked_for_admission_again_when_the_socket_takes_it(stage: Stage) -> None:
    watching = await live(stage)
    watching.media.block()
    await stage.film(3)
    # Nothing is read any more that could say stop; only the freshness of what was read runs out.
    stage.clock.since_start_s += 4.0
    watching.media.unblock()
    assert watching.pictures == [0, 1, 2, 3, 4]


async def test_a_picture_waits_for_its_socket_no_longer_than_it_may_be_shown(stage: Stage) -> None:
    watching = await live(stage)
    watching.media.block()
    await stage.film(3)
    await stage.change_camera(sharing=SHARING_PAUSED)
    watching.media.unblock()
    assert watching.pictures == [0, 1, 2, 3, 4]


async def test_a_short_pause_of_a_viewer_costs_nothing(stage: Stage) -> None:
    watching = await live(stage)
    watching.media.block()
    await stage.film(4)
    stamps_before = len(watching.media.media())
    watching.media.unblock()
    assert watching.pictures == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    late = watching.media.media()[stamps_before:]
    assert {message.sent_at_us for message in late} == {stage.clock.now_us()}
    assert "gap" not in watching.notices.codes()


async def test_a_stalled_viewer_is_dropped_to_the_next_keyframe_and_told(stage: Stage) -> None:
    slow, quick = await live(stage), await stage.watch()
    slow.media.block()
    await stage.film(20)
    assert quick.pictures == list(range(25))
    assert slow.notices.notices()[-1] == ("gap", "viewer_too_slow")
    slow.media.unblock()
    await stage.film(10)
    assert slow.pictures == [0, 1, 2, 3, 4, 30, 31, 32, 33, 34]
    assert slow.notices.codes().count("gap") == 1


async def test_a_stalled_viewer_holds_nothing_back_in_memory(stage: Stage) -> None:
    watching = await live(stage)
    watching.media.block()
    for _ in range(30):
        await stage.film(10)
        assert len(watching.view.delivery._queue) <= 13  # 500 ms at 25 pictures a second


async def test_a_page_that_takes_no_notices_loses_its_view(stage: Stage) -> None:
    watching = await live(stage)
    watching.notices.block()
    await stage.film(10)
    assert not watching.view.ended
    await stage.pass_time(3_250)
    assert watching.view.ended
    assert watching.media.ended is not None
    assert watching.media.ended[0] == CloseCode.VIEWER_STALLED


# What the page says


async def test_a_hidden_page_is_sent_no_pixel(stage: Stage) -> None:
    watching = await live(stage)
    watching.view.hear('{"type":"hidden"}')
    await stage.film(7)
    assert watching.pictures == [0, 1, 2, 3, 4]
    watching.view.hear('{"type":"visible"}')
    assert watching.pictures == [0, 1, 2, 3, 4, 10, 11]
    assert watching.notices.codes()[-1] == "resumed"


async def test_messages_are_numbered_without_a_gap(stage: Stage) -> None:
    watching = await live(stage)
    stage.views.lease()
    await stage.change_camera(sharing=SHARING_PAUSED)
    stage.views.lease()
    numbers = [message["n"] for message in watching.notices.messages()]
    assert numbers == list(range(len(numbers)))
    assert [message["type"] for message in watching.notices.messages()[-3:]] == ["lease", "notice", "lease"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type":"else"}',
        '{"type":"dark","ms":-1}',
        '{"type":"ticket"}',
        pytest.param("[" * 100_000, id="deeply nested"),
    ],
)
async def test_a_message_nobody_knows_ends_the_view(stage: Stage, text: str) -> None:
    watching = await live(stage)
    watching.view.hear(text)
    assert watching.media.ended is not None
    assert watching.media.ended[0] == CloseCode.BAD_MESSAGE


async def test_the_end_of_either_socket_ends_the_view(stage: Stage) -> None:
    for side in ("notices", "media"):
        watching = await stage.watch()
        getattr(watching, side).drop()
        assert watching.view.ended
        assert len(stage.views) == 0


async def test_no_media_is_read_any_more_once_the_views_are_closed(stage: Stage) -> None:
    await live(stage)
    tails = [task for task in asyncio.all_tasks() if task.get_name() == "media tail"]
    assert len(tails) == 1
    await stage.views.close()
    assert tails[0].done()


async def test_every_view_ends_with_a_notice_when_the_process_stops(stage: Stage) -> None:
    watching = await live(stage)
    stage.views.stop()
    assert watching.notices.notices()[-1] == ("view_ended", "relay_stopping")
    with pytest.raises(RefusedError, match="relay_stopping"):
        await stage.open()


# Records


async def test_usage_is_put_on_record_every_ten_seconds_while_there_is_any(stage: Stage) -> None:
    watching = await live(stage)
    await stage.film(250)
    await stage.pass_time(30_000)
    used = [record.usage.pictures for record in await stage.audit() if record.event == "view.usage"]
    assert used[0] == pytest.approx(250, abs=15)
    assert used[-1] == len(watching.pictures)
    assert len(used) == 2


async def test_demand_is_made_only_by_an_open_view_with_a_live_right(stage: Stage) -> None:
    assert stage.views.demanded() == set()
    view, _ = await stage.open()
    assert stage.views.demanded() == set()
    watching = await stage.watch()
    assert stage.views.demanded() == {STREAM}
    await stage.change_camera(sharing=SHARING_PAUSED)
    assert stage.views.demanded() == set()
    await stage.change_camera(sharing=SHARING_ON)
    assert stage.views.demanded() == {STREAM}
    await stage.withdraw()
    assert stage.views.demanded() == set()
    assert watching.view.ended
    assert view.ended


async def test_time_to_dark_is_measured_from_the_commit(stage: Stage) -> None:
    watching = await live(stage)
    stopped = camera_state(stage.clock.now_us(), version=2, terms=[])
    committed = state_record(stopped, stage.clock)
    stage.clock.step(milliseconds=120)  # on its way
    await stage.bus.state_log(CAMERA_STATE).append(committed)
    await stage.beat()
    stage.clock.step(milliseconds=50)
    watching.media.drop()
    value = stage.metrics.registry.get_sample_value
    assert value("relay_withdrawal_to_dark_seconds_count") == 1
    assert value("relay_withdrawal_to_dark_seconds_sum") == pytest.approx(0.12)


async def test_a_viewer_who_makes_pictures_wait_does_not_count_as_the_relays_latency(stage: Stage) -> None:
    watching = await live(stage)
    value = stage.metrics.registry.get_sample_value
    before = value("relay_delivery_latency_seconds_count")
    watching.media.block()
    await stage.film(3)
    watching.media.unblock()
    assert watching.pictures == list(range(8))
    assert value("relay_delivery_latency_seconds_count") == before


async def test_an_authorisation_that_was_not_read_yet_is_no_withdrawal(stage: Stage) -> None:
    watching = await live(stage)
    opens_at_us = stage.clock.now_us() + 2 * SKEW_US
    # The grant moves to an authorisation given a moment ago; its camera record is still on its way.
    stage.grant = grant_state(opens_at_us, version=2, authorisation_id="newer", opens_at_us=opens_at_us)
    await stage.publish(stage.grant)
    assert watching.notices.notices()[-1] == ("not_fresh", "record_unread")
    await stage.pass_time(250)
    assert not watching.view.ended
    await stage.pass_time(250)
    assert watching.notices.notices()[-1] == ("stopped", "authorisation_withdrawn")


# What operations see


async def test_open_views_that_show_nothing_are_told_by_why(stage: Stage) -> None:
    watching = await live(stage)
    assert list(stage.views.dark_reasons()) == []
    await stage.change_camera(sharing=SHARING_PAUSED)
    assert list(stage.views.dark_reasons()) == ["paused"]
    await stage.change_camera(sharing=SHARING_ON, resumed_at_us=stage.clock.now_us())
    assert list(stage.views.dark_reasons()) == []
    await stage.pass_time(4_500, beating=False)
    stage.views.check()
    assert list(stage.views.dark_reasons()) == ["heartbeat_old"]
    watching.view.connection_closed(by_viewer=True)
    assert list(stage.views.dark_reasons()) == []
