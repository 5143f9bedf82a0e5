"""A page that nobody looks at: it says so, shows nothing and asks for nothing. In a real hidden tab."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.page.compositor import watching
from tests.page.scripted_relay import ScriptedRelay, scripted_relay
from tests.page.tabs import Tabs, tabs

pytestmark = pytest.mark.needs("chromium")

STATE = "document.querySelector('#tile').dataset.state"


@pytest.fixture
async def chromium(chromium_path: Path, tmp_path: Path) -> AsyncIterator[Tabs]:
    async with tabs(chromium_path, tmp_path) as browser:
        yield browser


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    async with scripted_relay() as started:
        yield started


async def test_a_hidden_page_says_so_and_shows_nothing_until_it_is_seen(
    chromium: Tabs, relay: ScriptedRelay
) -> None:
    tab = await chromium.open(relay.url)
    view = await relay.next_view()
    await view.play()
    await tab.until(f"{STATE} === 'live'")
    other = await chromium.open("about:blank")
    await other.show()
    await view.next("hidden")
    view.stop_pictures()
    assert await tab.evaluate("document.hidden")
    assert await tab.evaluate(STATE) == "hidden"
    assert await tab.evaluate("document.querySelector('video').getAttribute('src')") is None
    await tab.show()
    await view.next("visible")
    async with watching(tab, await tab.box_of("#tile")) as screen:
        # Chromium keeps the last frame it drew of a tab and shows it again first: no page can draw over that one.
        covered = await screen.until_covered()
        await tab.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert all(look.is_covered for look in screen.since(covered))
        await view.play("resumed")
        await screen.until_picture()
    assert await tab.evaluate(STATE) == "live"
    assert relay.tickets == 1


async def test_a_stop_while_hidden_is_acknowledged_and_said_when_seen(
    chromium: Tabs, relay: ScriptedRelay
) -> None:
    tab = await chromium.open(relay.url)
    view = await relay.next_view()
    await view.play()
    await tab.until(f"{STATE} === 'live'")
    other = await chromium.open("about:blank")
    await other.show()
    await view.next("hidden")
    view.stop_pictures()
    view.notice("stopped", "authorisation_withdrawn")
    assert (await view.next("dark"))["code"] == "stopped"
    await tab.show()
    await tab.until(f"{STATE} === 'stopped'")
    assert relay.tickets == 1


async def test_a_hidden_page_asks_for_no_ticket(chromium: Tabs, relay: ScriptedRelay) -> None:
    tab = await chromium.open(relay.url)
    view = await relay.next_view()
    await view.play()
    await tab.until(f"{STATE} === 'live'")
    other = await chromium.open("about:blank")
    await other.show()
    await view.next("hidden")
    view.cut_notices()
    # Set after the page's own timer and longer: hidden pages' timers fire in their order, a second apart.
    await tab.until("document.querySelector('#notices').textContent.includes('Connection lost')")
    await tab.evaluate("new Promise(fired => setTimeout(fired, 3000))")
    assert relay.tickets == 1
    await tab.show()
    view = await relay.next_view()
    await view.play()
    await tab.until(f"{STATE} === 'live'")
    assert relay.tickets == 2
