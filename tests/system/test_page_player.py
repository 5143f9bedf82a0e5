"""The player at the screen: pixels show only while it knows that they may, judged on what the compositor shows."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from tests.page.scripted_relay import GRANT, ScriptedView, rfc3339
from tests.page.stage import Stage, stage

pytestmark = pytest.mark.needs("chromium")

DEAD_LINE_S = 3.5
RETRY_MS = 1500
"""Three times the longest first pause before another ticket is asked for."""


@pytest.fixture
async def on(browser: Browser) -> AsyncIterator[Stage]:
    async with stage(browser) as opened:
        yield opened


async def test_pictures_advance_and_are_young(on: Stage) -> None:
    view = await on.live()
    await on.expect_state("live")
    first = await on.screen.until_picture()
    assert first.number is not None
    later = await on.screen.until_picture(after=first.number + 40)
    assert later.number is not None
    assert later.at_s - view.sent_at_s[later.number] < 0.5


async def test_ticket_and_secret_travel_as_subprotocols(on: Stage) -> None:
    view = await on.live()
    assert view.offered == ["feedgate.v1", f"ticket.ticket-{GRANT}-1"]
    assert on.relay.code.text == ""
    assert await on.page.evaluate("location.href") == f"{on.relay.origin}/demo/"


async def test_stopped_covers_drops_the_buffers_and_is_acknowledged(on: Stage) -> None:
    view = await on.live()
    view.stop_pictures()
    view.notice("stopped", "authorisation_withdrawn", "The owner has withdrawn the authorisation.")
    view.end_media(4030, "authorisation_withdrawn")
    dark = await view.next("dark")
    assert dark["code"] == "stopped"
    assert isinstance(dark["ms"], int)
    assert 0 <= dark["ms"] < 5000
    await on.screen.until_covered()
    assert await on.video() == {"src": None, "ranges": 0, "ready": 0}
    view.end(4030, "authorisation_withdrawn")
    await on.outwait(RETRY_MS)
    assert on.relay.tickets == 1
    await on.expect_state("stopped")


async def test_media_that_ends_before_the_word_covers_and_waits_for_it(on: Stage) -> None:
    view = await on.live()
    view.stop_pictures()
    view.end_media(4030, "authorisation_withdrawn")
    await on.screen.until_covered()
    await on.expect_state("lost")
    view.notice("stopped", "authorisation_withdrawn")
    assert (await view.next("dark"))["code"] == "stopped"
    await on.outwait(RETRY_MS)
    assert on.relay.tickets == 1
    await on.expect_state("stopped")


async def test_media_that_ends_without_a_word_is_a_lost_view(on: Stage) -> None:
    view = await on.live()
    view.end_media(1011, "")
    await on.screen.until_covered()
    await on.live()
    assert on.relay.tickets == 2


async def test_without_a_lease_it_covers_by_itself(on: Stage) -> None:
    view = await on.live()
    view.leases = False
    leases_until_s = time.time()  # none is later
    covered = await on.screen.until_covered()
    assert covered.at_s - leases_until_s < DEAD_LINE_S
    assert view.is_playing
    await on.expect_notice("The relay did not say in time that pictures may still be shown.")
    await expect(on.page.locator("#notices")).not_to_contain_text("Connection lost")
    view.stop_pictures()
    await on.live()
    assert on.relay.tickets == 2


async def test_compositor_covers_while_the_page_is_held_up(on: Stage) -> None:
    view = await on.live()
    view.stop_pictures()
    held_from_s = time.time()
    held_up = asyncio.create_task(on.hold_up(6000))
    covered = await on.screen.until_covered(within_s=5.5)
    assert not held_up.done()
    assert covered.at_s - held_from_s < DEAD_LINE_S
    await held_up


async def test_leases_that_waited_do_not_uncover(on: Stage) -> None:
    view = await on.live()
    held_up = asyncio.create_task(on.hold_up(5000))
    covered = await on.screen.until_covered(within_s=4.9)
    await held_up
    again = await on.relay.next_view(greet=False)
    assert again is not view
    assert all(look.is_covered for look in on.screen.since(covered))


async def test_a_stop_that_waited_asks_for_no_other_ticket(on: Stage) -> None:
    view = await on.live()
    held_up = asyncio.create_task(on.hold_up(5000))
    await on.screen.until_covered(within_s=4.9)
    view.notice("stopped", "authorisation_withdrawn")
    await held_up
    await on.expect_state("stopped")
    await on.outwait(RETRY_MS)
    assert on.relay.tickets == 1


async def test_a_cut_notice_socket_covers_and_begins_anew(on: Stage) -> None:
    view = await on.live()
    view.cut_notices()
    await on.screen.until_covered()
    assert (await on.video())["src"] is None
    await on.expect_notice("Connection lost")
    await on.live()
    await on.expect_state("live")
    assert on.relay.tickets == 2


async def test_a_gap_in_the_numbers_covers(on: Stage) -> None:
    view = await on.live()
    view.lose_a_message()
    view.notice("expiring", "grant_expired")
    await on.screen.until_covered()
    await on.expect_notice("gap in notices")


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("paused_by_owner", "paused"),
        ("out_of_schedule", "paused"),
        ("not_fresh", "waiting"),
        ("camera_lost", "waiting"),
        ("waiting_for_keyframe", "waiting"),
        ("something_new", "waiting"),
    ],
)
async def test_notices_cover_until_pictures_begin_again(on: Stage, code: str, state: str) -> None:
    view = await on.live()
    view.stop_pictures()
    view.notice(code, "because", "A sentence.")
    assert (await view.next("dark"))["code"] == code
    await on.screen.until_covered()
    await on.expect_state(state)
    await expect(on.page.locator("#cover-text")).to_have_text("A sentence.")
    resumed_at = max(view.sent_at_s)
    await view.play("resumed")
    look = await on.screen.until_picture()
    assert look.number is not None
    assert look.number > resumed_at
    assert on.relay.tickets == 1


async def test_pictures_on_their_way_when_it_was_covered_are_never_shown(on: Stage) -> None:
    view = await on.live()
    view.hold()
    view.begin_run()
    late = [view.send_picture() for _ in range(20)]
    view.stop_pictures()
    view.notice("paused_by_owner", "paused")
    await view.next("dark")
    covered = await on.screen.until_covered()
    view.release()
    await view.play("resumed")
    look = await on.screen.until_picture()
    assert look.number is not None
    assert look.number > max(late)
    shown = {look.number for look in on.screen.since(covered)} - {None}
    assert not shown & set(late)


async def test_pictures_wait_for_the_notice_that_they_begin(on: Stage) -> None:
    view = await on.relay.next_view()
    await view.media()
    before = rfc3339()
    view.begin_run()
    for _ in range(10):
        view.send_picture()
    await on.expect_state("waiting")
    await on.outwait(500)
    assert on.screen.looks[-1].is_covered
    view.say({"type": "notice", "code": "started", "reason": "", "detail": "", "at": before})
    await on.screen.until_picture()


async def test_another_run_and_lost_pictures_play_on(on: Stage) -> None:
    view = await on.live()
    await on.screen.until_picture(after=40)
    view.begin_run()
    number = view.next_number
    look = await on.screen.until_picture(after=number - 1)
    assert look.number is not None
    assert look.number < number + 20  # less than a second of them was passed over
    await on.screen.until_picture(after=number + 5)
    view.skip_pictures()
    number = view.next_number
    look = await on.screen.until_picture(after=number + 30)
    assert look.number is not None
    assert look.at_s - view.sent_at_s[look.number] < 0.5
    assert on.relay.tickets == 1


async def test_a_camera_that_slows_down_is_seen_between_keyframes(on: Stage) -> None:
    """Chromium takes pictures further apart than twice the length said for a gap, and drops to the next keyframe."""
    view = await on.live()
    await on.screen.until_picture(after=26)
    view.stop_pictures()
    first = view.next_number
    view.play_on(every=5)
    await on.screen.until_picture(after=first + 6)
    seen = {look.number for look in on.screen.looks}
    assert len(seen & set(range(first, first + 7))) >= 4
    assert on.relay.tickets == 1


async def test_after_a_stall_it_is_at_the_live_edge_again(on: Stage) -> None:
    view = await on.live()
    view.hold()
    await on.expect_state("late")
    await until_young(on, view, view.next_number, age_s=0.3, within_s=3)
    await on.expect_state("live")
    assert on.relay.tickets == 1


async def test_after_a_hiccup_it_hurries_to_the_live_edge(on: Stage) -> None:
    """Too little to jump over, and still half a second that nobody would get back."""
    view = await on.live()
    view.hold()
    await on.outwait(400)
    await until_young(on, view, view.next_number, age_s=0.2, within_s=8)
    assert on.relay.tickets == 1


async def until_young(on: Stage, view: ScriptedView, number: int, *, age_s: float, within_s: float) -> None:
    """Let go what waits, and wait for a picture not before `number` that is at most so old."""
    view.release()
    await on.screen.until(
        lambda look: (
            look.number is not None
            and look.number >= number
            and look.at_s - view.sent_at_s[look.number] < age_s
        ),
        within_s=within_s,
    )


async def test_pictures_that_are_too_late_are_not_shown(on: Stage) -> None:
    view = await on.live()
    view.stop_pictures()
    view.hold()
    late = [view.send_picture(sent_s=time.time() - 10) for _ in range(5)]
    view.release()
    await on.screen.until_covered()
    await on.expect_notice("too late")
    assert not {look.number for look in on.screen.looks} & set(late)


@pytest.mark.parametrize(("code", "tickets"), [(4030, 1), (4011, 1), (4014, 2), (4050, 2)])
async def test_the_close_code_says_whether_another_ticket_helps(on: Stage, code: int, tickets: int) -> None:
    view = await on.relay.next_view(greet=False)
    view.end(code, "a_reason")
    if tickets == 2:
        await on.relay.next_view(greet=False)
    else:
        await on.expect_state("stopped" if code == 4030 else "refused")
        await on.outwait(RETRY_MS)
    assert on.relay.tickets == tickets


async def test_a_refused_ticket_is_said_and_not_asked_for_again(browser: Browser) -> None:
    problem = {
        "type": "urn:feedgate:problem:access-denied",
        "status": 403,
        "detail": "The grant was closed.",
        "reasons": ["grant_closed"],
    }
    async with stage(browser, ticket_problem=problem) as on:
        await on.expect_state("refused")
        await on.expect_notice("The grant was closed.")
        await expect(on.page.get_by_role("button", name="Begin again")).to_be_enabled()
        await on.outwait(RETRY_MS)
        assert on.relay.tickets == 1


async def test_no_ticket_for_now_is_asked_for_again(browser: Browser) -> None:
    reasons = ["state_not_fresh"]
    problem = {"type": "urn:feedgate:problem:state-not-fresh", "status": 503, "reasons": reasons}
    async with stage(browser, ticket_problem=problem) as on:
        await on.expect_state("lost")
        await on.expect_notice("Whether the owner still shares cannot be known just now.")
        await expect(on.page.locator("#tile")).not_to_contain_text("Connection lost")
        on.relay.ticket_problem = None
        await on.live()


async def test_a_fresh_ticket_extends_the_view(on: Stage) -> None:
    view = await on.relay.next_view(greet=False)
    view.hello(view_until=rfc3339(31))
    await view.play()
    extension = await view.next("ticket")
    assert extension["ticket"] == f"ticket-{GRANT}-2"
    view.say({"type": "ticket", "accepted": True, "view_until": rfc3339(300)})
    await on.screen.until_picture(after=view.next_number)


async def test_a_renewal_that_fails_or_gains_nothing_is_tried_again(on: Stage) -> None:
    view = await on.relay.next_view(greet=False)
    view_until = rfc3339(31)
    on.relay.ticket_problem = {"type": "urn:feedgate:problem:unavailable", "status": 503}
    view.hello(view_until=view_until)
    await view.play()
    await on.relay.until_asked(2)
    on.relay.ticket_problem = None
    on.relay.ticket_view_until = view_until
    await on.relay.until_asked(3)
    on.relay.ticket_view_until = None
    extension = await view.next("ticket")
    assert extension["ticket"] == f"ticket-{GRANT}-4"
    await on.screen.until_picture(after=view.next_number)


async def test_a_refused_renewal_is_not_asked_for_again(on: Stage) -> None:
    view = await on.relay.next_view(greet=False)
    on.relay.ticket_problem = {"type": "urn:feedgate:problem:access-denied", "status": 403}
    view.hello(view_until=rfc3339(31))
    await view.play()
    await on.relay.until_asked(2)
    await on.outwait(2 * RETRY_MS)
    assert on.relay.tickets == 2


async def test_a_style_sheet_that_is_missing_uncovers_nothing(on: Stage) -> None:
    view = await on.live()
    await on.page.evaluate("document.querySelector('link[rel=stylesheet]').remove()")
    view.stop_pictures()
    view.notice("paused_by_owner", "paused")
    await view.next("dark")
    assert await on.page.evaluate("getComputedStyle(document.querySelector('video')).opacity") == "0"
    assert await on.page.evaluate("document.querySelector('video').disablePictureInPicture")
