"""Recordings of what may never happen: each is counted, and a harmless one is not."""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.judgement import judge
from tests.faults.recording import NO_LEASE, Recording, ShareRecord, Stop, Told, ViewRecord, Window

GRANT, AUTHORISATION, VIEW = "grant-1", "authorisation-1", "view-1"
STEP_S = 0.1
WINDOW = Window(began_s=100.0, struck_s=110.0, healed_s=120.0, ended_s=130.0)
WALL_US = 1_700_000_000_000_000
"""What the relay's clock shows when ours shows 0."""


def pictures(view: ViewRecord, *stretches: tuple[float, float]) -> ViewRecord:
    """Ten pictures a second from one moment to another, each sent as it is received."""
    steps = [(round(start / STEP_S), round(end / STEP_S)) for start, end in stretches]
    times = [step * STEP_S for start, end in steps for step in range(start, end)]
    view.pictures_s = array("d", times)
    view.sequences = array("q", range(len(times)))
    view.sent_us = array("q", [stamp(at_s) for at_s in times])
    return view


def stamp(at_s: float) -> int:
    return WALL_US + round(at_s * 1_000_000)


def view(
    *stretches: tuple[float, float], told: Mapping[float, str] | None = None, **fields: Any
) -> ViewRecord:
    record = ViewRecord(viewer=0, grant_id=GRANT, view_id=VIEW, opened_s=100.0, **fields)
    record.told = [Told(at_s, code, "", stamp(at_s)) for at_s, code in (told or {100.0: "started"}).items()]
    return pictures(record, *stretches)


def recording(*views: ViewRecord, **differences: Any) -> Recording:
    """Nothing was struck that matters, and all is on record."""
    return replace(
        Recording(
            window=WINDOW,
            rights_unknown=False,
            issuer_struck=False,
            relay_struck=False,
            relay_died=False,
            shares={GRANT: ShareRecord("camera", AUTHORISATION, "request", GRANT, approved_s=99.0)},
            stops=[],
            views=views,
            withdrawn={AUTHORISATION},
            withdrawals_on_record={AUTHORISATION},
            views_started={VIEW},
            views_ended={VIEW},
            given_on_record={AUTHORISATION, "request"},
            tickets_on_record={GRANT: 2},
            tickets_taken={GRANT: 2},
            agency_told={GRANT},
            captured_s={},
        ),
        **differences,
    )


def stop(sent_s: float, answered_s: float | None = None, wished_s: float | None = None) -> Stop:
    answered_s = sent_s + 0.1 if answered_s is None else answered_s
    return Stop(GRANT, AUTHORISATION, wished_s or sent_s, sent_s, answered_s)


def stopped_view(last_s: float = 112.1, **fields: Any) -> ViewRecord:
    """Of an owner who stops at 112: the last picture, the notice, and the end soon after it."""
    told = {100.0: "started", last_s + 0.05: "stopped"}
    return view((100, last_s), told=told, closed_s=last_s + 0.3, close_reason="stopped", **fields)


def test_pictures_from_beginning_to_end_are_nothing_to_find() -> None:
    verdict = judge(recording(view((100, 130))))
    assert verdict.findings == []
    assert (verdict.dark_within_s, verdict.stop_within_s, verdict.back_in_s) == (None, None, None)


def test_a_stop_that_is_obeyed_is_measured_from_the_owner_s_call_to_the_last_picture() -> None:
    verdict = judge(recording(stopped_view(112.6), stops=[stop(112.0)]))
    assert verdict.findings == []
    assert verdict.stops == 1
    assert verdict.stop_within_s == pytest.approx(0.5, abs=0.01)


def test_darkness_is_measured_from_the_fault_to_the_last_picture_of_a_view_that_is_told_not_fresh() -> None:
    told = {100.0: "started", 114.3: "not_fresh", 121.0: "resumed"}
    verdict = judge(recording(view((100, 114.2), (121, 130), told=told), rights_unknown=True))
    assert verdict.findings == []
    assert verdict.dark_within_s == pytest.approx(4.1, abs=0.05)
    assert verdict.back_in_s == pytest.approx(1.0, abs=0.05)


def test_darkness_that_comes_in_its_own_time_is_no_matter_of_the_bound() -> None:
    told = {100.0: "started", 117.3: "not_fresh", 121.0: "resumed"}
    verdict = judge(recording(view((100, 117.2), (121, 130), told=told)))
    assert verdict.findings == []
    assert (verdict.dark_within_s, verdict.slowest_dark_s) == (None, 0.0)
    assert verdict.dark_after_s == pytest.approx(7.1, abs=0.05)


def test_a_view_that_ends_with_its_token_did_not_go_dark_by_the_fault() -> None:
    ended = view((100, 112), told={100.0: "started", 112.1: "view_ended"}, closed_s=112.2)
    after = replace(view((112.5, 130)), view_id="view-2", opened_s=112.4)
    verdict = judge(recording(ended, after, views_started={VIEW, "view-2"}))
    assert verdict.findings == []
    assert verdict.dark_after_s is None


def test_pictures_that_do_not_come_back_are_found() -> None:
    told = {100.0: "started", 114.3: "not_fresh"}
    verdict = judge(recording(view((100, 114.2), told=told)))
    assert verdict.blind == [f"viewer 0 saw nothing again under grant {GRANT}"]


def test_a_view_that_comes_back_as_another_one_is_back() -> None:
    before = view((100, 110.2), closed_s=110.3, close_reason="relay_stopping")
    after = replace(view((122, 130)), view_id="view-2", opened_s=121.5)
    verdict = judge(recording(before, after, views_started={VIEW, "view-2"}))
    assert verdict.findings == []
    assert verdict.back_in_s == pytest.approx(2.0, abs=0.05)


OUTSIDE: Mapping[str, tuple[Callable[[], Recording], int]] = {
    "after the last word": (
        lambda: recording(
            view((100, 112), (112.5, 112.8), told={100.0: "started", 112.0: "stopped"}, closed_s=113.0),
            stops=[stop(111.9)],
        ),
        3,
    ),
    "sent after the last word and read at once": (
        lambda: recording(
            view((100, 112.2), told={100.0: "started", 112.05: "stopped"}, closed_s=112.3),
            stops=[stop(112.0)],
        ),
        1,
    ),
    "more than 5 s after an accepted withdrawal": (
        lambda: recording(view((100, 118)), stops=[stop(112.0)]),
        9,  # of 117.1 and later
    ),
    "while nobody can vouch for the right": (lambda: recording(view((100, 117)), rights_unknown=True), 19),
    "while the view is covered": (
        lambda: recording(
            view((100, 130), told={100.0: "started", 112.0: "paused_by_owner", 118.0: "resumed"})
        ),
        49,  # but not those read within 0.5 s of either
    ),
    "under a grant that nobody gave": (lambda: recording(view((100, 100.3)), shares={}), 3),
    "captured before the grant": (
        lambda: recording(view((100, 130)), captured_s={(GRANT, 0): [98.5], (GRANT, 1): [99.5]}),
        1,
    ),
    "older than 3 s": (
        lambda: recording(view((106, 130)), captured_s={(GRANT, 0): [100.5], (GRANT, 1): [105.9]}),
        1,
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_each_picture_outside_the_rule_is_counted(name: str) -> None:
    recorded, pictures_outside = OUTSIDE[name]
    assert len(judge(recorded()).outside) == pictures_outside


def test_a_picture_sent_before_the_last_word_and_read_just_after_it_is_within_the_rule() -> None:
    late = stopped_view()
    late.pictures_s[-1] = late.told[-1].at_s + 0.2
    assert judge(recording(late, stops=[stop(112.0)])).outside == []


def test_of_two_runs_with_one_number_the_picture_is_the_one_that_could_have_been_shown() -> None:
    twice = {(GRANT, 0): [90.0, 99.9]}
    assert judge(recording(view((100, 130)), captured_s=twice)).outside == []


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ({"withdrawn": set()}, "registry's database"),
        ({"withdrawals_on_record": set()}, "audit log"),
    ],
)
def test_a_withdrawal_that_was_accepted_and_is_not_written_down_is_lost(
    differences: dict[str, Any], words: str
) -> None:
    (lost,) = judge(recording(stopped_view(), stops=[stop(112.0)], **differences)).withdrawals_lost
    assert words in lost


def test_a_withdrawal_after_which_pictures_come_again_is_lost_also_in_a_later_window() -> None:
    again = replace(view((120, 121)), view_id="view-2", opened_s=120.0, viewer=-1)
    verdict = judge(recording(again, stops=[stop(90.0)], views_started={"view-2"}))
    assert len(verdict.withdrawals_lost) == 1
    assert len(verdict.outside) == 10


def test_a_call_that_nobody_accepted_loses_nothing_but_is_measured() -> None:
    unanswered = Stop(GRANT, AUTHORISATION, wished_s=112.0)
    told = {100.0: "started", 114.6: "not_fresh", 121.0: "resumed"}
    verdict = judge(
        recording(
            view((100, 114.5), (121, 130), told=told),
            stops=[unanswered],
            withdrawn=set(),
            rights_unknown=True,
        )
    )
    assert verdict.findings == []
    assert verdict.stops == 0
    assert verdict.stop_within_s == pytest.approx(2.4, abs=0.05)
    assert verdict.dark_within_s == pytest.approx(4.4, abs=0.05)


def test_a_view_that_its_owner_had_stopped_by_then_did_not_go_dark_by_the_fault() -> None:
    assert judge(recording(stopped_view(), stops=[stop(112.0)], rights_unknown=True)).dark_within_s is None


def test_a_first_call_that_failed_is_measured_until_pictures_first_stopped() -> None:
    verdict = judge(
        recording(view((100, 119.5), closed_s=119.6, close_reason="x"), stops=[stop(119.4, wished_s=112.0)])
    )
    assert verdict.stop_within_s == pytest.approx(7.4, abs=0.05)


@pytest.mark.parametrize(
    ("differences", "words"),
    [({"views_started": set()}, "beginning"), ({"views_ended": set()}, "end is not on record")],
)
def test_a_view_that_is_not_on_record_is_found(differences: dict[str, Any], words: str) -> None:
    (lost,) = judge(recording(stopped_view(), stops=[stop(112.0)], **differences)).audit_lost
    assert words in lost


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ({"given_on_record": {"request"}}, "authorisation was given"),
        ({"given_on_record": {AUTHORISATION}}, "request was approved"),
        ({"tickets_on_record": {GRANT: 1}}, "2 tickets were given and 1 are on record"),
    ],
)
def test_a_right_that_was_given_and_is_not_on_record_is_found(
    differences: dict[str, Any], words: str
) -> None:
    (lost,) = judge(recording(view((100, 130)), **differences)).audit_lost
    assert words in lost


def test_a_grant_that_ends_though_its_owner_goes_on_sharing_leaves_its_viewers_blind() -> None:
    ended = stopped_view()
    afterwards = replace(stop(112.5), is_afterwards=True)
    verdict = judge(recording(ended, stops=[afterwards]))
    assert verdict.blind == [f"viewer 0 saw nothing again under grant {GRANT}"]
    assert verdict.stops == 0


def test_pictures_for_longer_than_the_bound_are_found() -> None:
    verdict = judge(recording(stopped_view(117.6), stops=[stop(112.0)]))
    assert verdict.findings[-1] == "pictures for 5.50 s; allowed: 5 s"


def test_an_owner_who_cannot_sign_in_is_measured_and_not_bounded() -> None:
    late = view((100, 119.5), closed_s=119.6, close_reason="x")
    verdict = judge(recording(late, stops=[stop(119.4, wished_s=112.0)], issuer_struck=True))
    assert verdict.stop_within_s == pytest.approx(7.4, abs=0.05)
    assert verdict.findings == []


def test_an_open_view_needs_no_end_on_record() -> None:
    assert judge(recording(view((100, 130)), views_ended=set())).audit_lost == []


def test_views_that_died_with_their_relay_are_counted_apart_and_no_others() -> None:
    died = view((100, 110), closed_s=110.1)
    earlier = replace(view((100, 105), closed_s=105.1, close_reason="x"), view_id="view-2")
    verdict = judge(
        recording(
            died,
            earlier,
            relay_struck=True,
            relay_died=True,
            views_started={VIEW, "view-2"},
            views_ended=set(),
        )
    )
    assert verdict.cut_off == 1
    assert verdict.audit_lost == ["view view-2 ended and its end is not on record"]


@pytest.mark.parametrize(
    "told",
    [{112.2: "camera_lost"}, {115.0: "not_fresh"}, {115.1: NO_LEASE}],
    ids=lambda told: next(iter(told.values())),
)
def test_pictures_that_stop_with_a_word_are_told_of(told: dict[float, str]) -> None:
    seen = view((100, 112), (121, 130), told={100.0: "started", **told, 121.0: "resumed"})
    assert judge(recording(seen)).notices_missing == []


@pytest.mark.parametrize("told", [{}, {118.0: "camera_lost"}], ids=["not at all", "too late"])
def test_pictures_that_stop_without_a_word_are_found(told: dict[float, str]) -> None:
    seen = view((100, 112), (121, 130), told={100.0: "started", **told})
    (missing,) = judge(recording(seen)).notices_missing
    assert "pictures stopped for 9.1 s without a word" in missing


def test_a_view_that_shows_nothing_and_says_nothing_is_found() -> None:
    silent = replace(view(), told=[])
    assert len(judge(recording(silent)).notices_missing) == 1


def test_a_view_that_ends_without_a_word_is_found_unless_the_relay_itself_was_struck() -> None:
    ended = view((100, 112), closed_s=112.1)
    assert judge(recording(ended)).notices_missing == [f"view {VIEW} ended without a word"]
    assert judge(recording(ended, relay_struck=True)).notices_missing == []


def test_a_stop_that_the_agency_is_not_told_of_is_found() -> None:
    verdict = judge(recording(stopped_view(), stops=[stop(112.0)], agency_told=set()))
    assert verdict.notices_missing == [f"grant {GRANT}: the agency's topic does not tell of its stop"]
