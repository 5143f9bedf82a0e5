"""A browser on the scripted relay's page, and the screen it is seen on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from playwright.async_api import Browser, Page, expect

from tests.page.compositor import Box, Compositor, watching
from tests.page.scripted_relay import ScriptedRelay, ScriptedView, scripted_relay

WIDTH, HEIGHT = 1100, 800


@dataclass
class Stage:
    """One page, open and with its first view asked for."""

    relay: ScriptedRelay
    page: Page
    screen: Compositor

    async def live(self, code: str = "started") -> ScriptedView:
        """The next view, with its pictures on the screen."""
        view = await self.relay.next_view()
        await view.play(code)
        await self.screen.until_picture()
        return view

    async def expect_state(self, state: str, within_s: float = 10.0) -> None:
        await expect(self.page.locator("#tile")).to_have_attribute(
            "data-state", state, timeout=within_s * 1000
        )

    async def expect_notice(self, text: str) -> None:
        await expect(self.page.locator("#notices")).to_contain_text(text)

    async def outwait(self, timer_ms: int) -> None:
        """Return after every timer of the page that was set before for less than this has fired."""
        await self.page.evaluate("ms => new Promise(fired => setTimeout(fired, ms))", timer_ms)

    async def hold_up(self, for_ms: int) -> None:
        """Keep the page's code from running. Returns when it runs again."""
        await self.page.evaluate(
            "ms => { const until = performance.now() + ms; while (performance.now() < until); }", for_ms
        )

    async def video(self) -> dict[str, Any]:
        """What the element holds."""
        state: dict[str, Any] = await self.page.evaluate(
            """() => {
                const video = document.querySelector("video");
                return { src: video.getAttribute("src"), ranges: video.buffered.length,
                         ready: video.readyState };
            }"""
        )
        return state


async def box_of(page: Page, selector: str) -> Box:
    found = await page.locator(selector).bounding_box()
    assert found is not None
    return Box(found["x"], found["y"], found["width"], found["height"])


@asynccontextmanager
async def opened(
    browser: Browser, url: str, **context_options: Any
) -> AsyncIterator[tuple[Page, Compositor]]:
    """A page and its tile's screen. A fault in the page's code fails the test."""
    context = await browser.new_context(**context_options)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    await page.goto(url)
    session = await context.new_cdp_session(page)
    async with watching(session, await box_of(page, "#tile")) as screen:
        yield page, screen
    await context.close()
    assert not faults


@asynccontextmanager
async def stage(
    browser: Browser,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    color_scheme: Literal["light", "dark"] = "light",
    ticket_problem: dict[str, Any] | None = None,
) -> AsyncIterator[Stage]:
    """Open the demo's page by its link, on a scripted relay."""
    size = {"width": width, "height": height}
    async with (
        scripted_relay(ticket_problem) as relay,
        opened(browser, relay.url, viewport=size, color_scheme=color_scheme) as (page, screen),
    ):
        yield Stage(relay, page, screen)
