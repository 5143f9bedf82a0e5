"""The demo's page for the people at it: the owner's hand on the buttons, words that stay words, everybody included."""

from typing import Any, Literal

import pytest
from playwright.async_api import Browser, expect

from tests.page.scripted_relay import AUTHORISATION, CAMERA, GRANT, rfc3339
from tests.page.stage import stage

pytestmark = pytest.mark.needs("chromium")

MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
SEEN = {
    "kind": "view",
    "at": rfc3339(),
    "camera_id": CAMERA,
    "authorisation_id": AUTHORISATION,
    "grant_id": GRANT,
    "view_id": "view-0",
    "agency": "demo-police",
    "viewer": "op-0123456789abcdef",
    "purpose": "investigate",
    "basis_codes": ["AR.25326.5-2-b", "AR.25326.23-2"],
    "pictures": 50,
    "last_picture_at": rfc3339(),
    "ended_at": rfc3339(),
    "ended_reason": "authorisation_withdrawn",
    "dark_at": rfc3339(),
    "dark_ms": 31,
}

CLOSED = {
    "kind": "act",
    "at": rfc3339(),
    "event": "grant.closed",
    "camera_id": CAMERA,
    "authorisation_id": AUTHORISATION,
    "role": "system",
    "agency": "",
    "actor": "access-policy",
    "purpose": "investigate",
    "permitted": False,
    "reasons": ["authorisation_withdrawn"],
}

SMALLEST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
CONTRASTS = """
() => {
  const numbers = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((level) => {
      const part = level / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!says || element.disabled || !element.checkVisibility()) continue;
    const [a, b] = [numbers(getComputedStyle(element).color), ground(element)].map(luminance);
    found.push([element.textContent.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}
"""
UNNAMED = """
() => [...document.querySelectorAll("button, a[href], input, video, [tabindex]")]
  .filter((one) => !(one.ariaLabel || one.innerText.trim()
    || document.getElementById(one.getAttribute("aria-labelledby"))?.innerText.trim()))
  .map((one) => one.outerHTML)
"""


async def test_the_owner_stops_by_keyboard_and_begins_again(browser: Browser) -> None:
    async with stage(browser) as on:
        view = await on.live()

        def withdraw() -> None:
            view.stop_pictures()
            view.notice("stopped", "authorisation_withdrawn", "The owner has withdrawn the authorisation.")
            view.end_media(4030, "authorisation_withdrawn")

        on.relay.on_withdraw = withdraw
        on.relay.ledger = [SEEN]
        stop = on.page.get_by_role("button", name="Stop sharing")
        again = on.page.get_by_role("button", name="Begin again")
        await expect(stop).to_be_enabled()
        await expect(again).to_be_disabled()
        await on.page.keyboard.press("Tab")
        await expect(stop).to_be_focused()
        await on.page.keyboard.press("Enter")
        await on.screen.until_covered()
        await expect(stop).to_be_disabled()
        await expect(again).to_be_focused()
        await expect(on.page.locator("#measured")).to_contain_text("ms after the button was pressed")
        await expect(on.page.locator("#ledger")).to_contain_text("op-0123456789abcdef of demo-police")
        await expect(on.page.locator("#ledger")).to_contain_text("dark on the screen within 31 ms")
        await on.page.keyboard.press("Enter")
        await on.live()
        await expect(stop).to_be_enabled()
        assert on.relay.sessions == 1


async def test_the_owner_pauses_and_resumes(browser: Browser) -> None:
    async with stage(browser) as on:
        await on.live()
        await on.page.get_by_role("button", name="Pause").click()
        await on.screen.until_covered()
        await on.expect_state("paused")
        await on.page.get_by_role("button", name="Resume").click()
        await on.screen.until_picture()
        await expect(on.page.get_by_role("button", name="Pause")).to_be_enabled()
        assert on.relay.tickets == 1


async def test_a_stop_that_failed_is_said_and_can_be_tried_again(browser: Browser) -> None:
    async with stage(browser) as on:
        await on.live()

        def fail() -> None:
            raise RuntimeError("the registry is down")

        on.relay.on_withdraw = fail
        stop = on.page.get_by_role("button", name="Stop sharing")
        await stop.click()
        await expect(on.page.locator("#measured")).to_contain_text("Not stopped")
        await expect(stop).to_be_enabled()


async def test_words_from_outside_stay_words(browser: Browser) -> None:
    async with stage(browser) as on:
        view = await on.live()
        view.notice("gap", MARKUP, MARKUP)
        view.notice("paused_by_owner", MARKUP, MARKUP)
        view.notice(MARKUP, MARKUP)
        on.relay.ledger = [{**SEEN, "agency": MARKUP, "purpose": MARKUP, "basis_codes": [MARKUP]}]
        await on.page.get_by_role("button", name="Read the ledger").click()
        await expect(on.page.locator("#ledger")).to_contain_text("<b>bold</b>")
        await expect(on.page.locator("#notices li")).to_have_count(4)
        await expect(on.page.locator("#notices li").nth(1)).to_contain_text("<b>bold</b>")
        await expect(on.page.locator("#cover-text")).to_contain_text("<b>bold</b>")
        assert await on.page.locator("b, img").count() == 0
        assert await on.page.title() == "Feedgate demo"


async def test_the_link_opens_nothing_twice(browser: Browser) -> None:
    async with stage(browser) as on:
        url = f"{on.relay.origin}/demo/#a-code-used-before"
        await on.live()
        other = await browser.new_page()
        await other.goto(url)
        cover = other.locator("#cover-text")
        await expect(cover).to_contain_text("This link was used before. Press Enter in the demo")
        await expect(other.get_by_role("button", name="Stop sharing")).to_be_disabled()
        await other.reload()
        await expect(cover).to_contain_text(
            "A page that is reloaded needs a new link. Press Enter in the demo"
        )
        on.relay.code.renew()
        replaced = on.relay.url
        on.relay.code.renew()
        await other.goto("about:blank")
        await other.goto(replaced)
        await expect(cover).to_contain_text(
            "A later link has taken the place of this one. Press Enter in the demo"
        )
        await other.goto("about:blank")
        await other.goto(on.relay.url)
        await expect(other.locator("#why")).to_contain_text("Case 4711")
        await other.close()


async def test_a_closing_is_told_as_none_of_a_request(browser: Browser) -> None:
    released = CLOSED | {"event": "source.released", "role": "ingest", "actor": "ingest", "reasons": []}
    denied = CLOSED | {"event": "ticket.refused", "role": "operator", "agency": "demo-police"}
    async with stage(browser) as on:
        on.relay.ledger = [CLOSED, released | {"permitted": None}, denied]
        await on.live()
        await on.page.get_by_role("button", name="Read the ledger").click()
        lines = on.page.locator("#ledger li")
        await expect(lines.nth(0)).to_contain_text(
            "Grant closedby system, access-policy · authorisation withdrawn"
        )
        await expect(lines.nth(1)).to_contain_text("sealed address given outby ingest")
        await expect(lines.nth(2)).to_contain_text("Ticket refusedby operator")
        await expect(lines.nth(2)).to_contain_text("· refused · authorisation withdrawn")


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
async def test_everybody_can_read_and_use_it(
    browser: Browser, color_scheme: Literal["light", "dark"], width: int
) -> None:
    async with stage(browser, width=width, height=1800, color_scheme=color_scheme) as on:
        on.relay.ledger = [SEEN]
        view = await on.live()
        await on.page.get_by_role("button", name="Read the ledger").click()
        await expect(on.page.locator("#ledger li")).to_have_count(1)
        await assert_readable(on.page)
        view.stop_pictures()
        view.notice("stopped", "authorisation_withdrawn", "The owner has withdrawn the authorisation.")
        await on.screen.until_covered()
        await assert_readable(on.page)
        await expect(on.page.get_by_role("status").first).to_have_text("Stopped")
        assert await on.page.locator("html").get_attribute("lang") == "en"
        assert await on.page.locator("h1").count() == 1
        assert await on.page.evaluate(UNNAMED) == []
        sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await on.page.evaluate(sideways) == 0


async def assert_readable(page: Any) -> None:
    contrasts = await page.evaluate(CONTRASTS)
    assert contrasts
    assert [found for found in contrasts if found[1] < SMALLEST_CONTRAST] == []
