"""The whole way in one box: a camera's picture on the operator's screen, and dark the moment its owner says stop."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.page.box import SharedCamera, shared_camera
from tests.page.compositor import Compositor
from tests.page.stage import HEIGHT, WIDTH, opened

pytestmark = pytest.mark.needs("chromium")

DEAD_LINE_S = 3.5
NOTICES = "/relay/v1/notices"
MEDIA = "/relay/v1/relays/relay-1/media"


@pytest.fixture
async def camera(tmp_path: Path) -> AsyncIterator[SharedCamera]:
    async with shared_camera(tmp_path / "data") as shared:
        yield shared


@pytest.fixture
async def seen(browser: Browser, camera: SharedCamera) -> AsyncIterator[tuple[Page, Compositor]]:
    size = {"width": WIDTH, "height": HEIGHT}
    async with opened(browser, camera.url, viewport=size) as (page, screen):
        await until_advancing(screen)
        yield page, screen


async def until_advancing(screen: Compositor) -> None:
    first = await screen.until_picture(within_s=20)
    assert first.number is not None
    await screen.until_picture(after=first.number + 25, within_s=20)


async def state_of(page: Page, state: str) -> None:
    await expect(page.locator("#tile")).to_have_attribute("data-state", state, timeout=15_000)


async def test_the_owners_stop_covers_and_beginning_again_plays(
    camera: SharedCamera, seen: tuple[Page, Compositor]
) -> None:
    page, screen = seen
    first_authorisation = camera.script.shared.authorisation_id
    await page.get_by_role("button", name="Stop sharing").click()
    covered = await screen.until_covered()
    await state_of(page, "stopped")
    await expect(page.locator("#notices")).to_contain_text("The owner has withdrawn the authorisation.")
    await expect(page.locator("#ledger")).to_contain_text("dark on the screen within", timeout=10_000)
    assert all(look.is_covered for look in screen.since(covered))
    await page.get_by_role("button", name="Begin again").click()
    await until_advancing(screen)
    assert camera.script.shared.authorisation_id != first_authorisation


async def test_pause_covers_and_resume_shows_again(seen: tuple[Page, Compositor]) -> None:
    page, screen = seen
    await page.get_by_role("button", name="Pause").click()
    covered = await screen.until_covered()
    await state_of(page, "paused")
    await page.get_by_role("button", name="Resume").click()
    await until_advancing(screen)
    assert screen.looks[-1].at_s > covered.at_s


async def test_a_cut_notice_socket_covers_and_the_view_begins_anew(
    camera: SharedCamera, seen: tuple[Page, Compositor]
) -> None:
    page, screen = seen
    camera.road.cut(NOTICES)
    await screen.until_covered()
    await until_advancing(screen)
    await state_of(page, "live")


async def test_the_stop_covers_also_with_the_notice_socket_cut(
    camera: SharedCamera, seen: tuple[Page, Compositor]
) -> None:
    page, screen = seen
    camera.road.cut(NOTICES)
    await camera.people.withdraw(camera.script.shared.authorisation_id)
    covered = await screen.until_covered()
    await state_of(page, "refused")
    assert all(look.is_covered for look in screen.since(covered))


async def test_the_stop_covers_also_when_no_word_of_it_arrives(
    camera: SharedCamera, seen: tuple[Page, Compositor]
) -> None:
    page, screen = seen
    camera.road.hold_up(NOTICES)
    camera.road.hold_up(MEDIA)
    held_from_s = time.time()
    await camera.people.withdraw(camera.script.shared.authorisation_id)
    covered = await screen.until_covered()
    assert covered.at_s - held_from_s < DEAD_LINE_S
    await state_of(page, "refused")
    assert all(look.is_covered for look in screen.since(covered))
