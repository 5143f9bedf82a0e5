"""`feedgate demo`, the command: what it tells, measures and leaves behind."""

import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.machine import REPOSITORY
from tests.servers.process import ServerProcess
from tests.system.one_box import FEEDGATE

pytestmark = pytest.mark.timeout(240)

START_TIMEOUT_S = 90.0
END_TIMEOUT_S = 60.0
PASSWORD = "not-to-be-seen"
INTERRUPTED = 130


class Demo:
    """One run of the command, in a temporary folder that should be empty afterwards."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        self.process = ServerProcess(
            "feedgate demo",
            [FEEDGATE, "demo", *arguments],
            folder / "demo.txt",
            environment={**os.environ, "TMPDIR": str(self.temporary), **(environment or {})},
        )

    @property
    def told(self) -> str:
        """Everything it said so far, on both outputs, with single spaces."""
        log = self.process.log
        return " ".join(log.read_text(encoding="utf-8").split()) if log.exists() else ""

    def until_told(self, words: str) -> None:
        self.process.wait_until(lambda: words in self.told, START_TIMEOUT_S)

    def children(self) -> set[int]:
        """Every process below it."""
        parents = {int(path.name): parent_of(path) for path in Path("/proc").glob("[0-9]*")}
        below, found = {self.process.pid}, set[int]()
        while below:
            below = {pid for pid, parent in parents.items() if parent in below}
            found |= below
        return found

    def left(self) -> list[str]:
        """What it left in the temporary folder."""
        return [path.name for path in self.temporary.iterdir()]


def parent_of(process: Path) -> int | None:
    """The parent in `/proc/PID/stat`, after the name in parentheses; None where it has ended."""
    try:
        return int((process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for log in tmp_path.glob("**/demo.txt"):
        told = log.read_text(encoding="utf-8")
        assert "Traceback" not in told
        assert PASSWORD not in told
        assert "simulated-only" not in told
        assert "rtsp://" not in told


def test_the_story_is_told_and_measured(folder: Path) -> None:
    result = folder / "result.json"
    demo = Demo(folder, "--headless", "--json", str(result))
    demo.process.start()
    assert demo.process.wait(START_TIMEOUT_S + END_TIMEOUT_S) == 0
    measured = json.loads(result.read_text(encoding="utf-8"))
    assert measured.keys() == {
        "first_picture_ms",
        "withdrawal_to_notice_ms",
        "withdrawal_to_last_picture_ms",
        "pictures",
        "frame_events",
        "pictures_after_withdrawal",
        "digests_matched",
        "notices",
    }
    assert measured["first_picture_ms"] > 500  # the margin
    assert 0 < measured["withdrawal_to_notice_ms"] < 5_000
    assert 0 <= measured["withdrawal_to_last_picture_ms"] < 5_000
    assert measured["pictures"] >= 2
    assert measured["digests_matched"] == measured["pictures"]
    assert measured["frame_events"] >= 3
    assert "started" in measured["notices"]
    assert measured["notices"][-1] == "stopped"
    told = demo.told
    steps = (
        "owner registers the camera",
        "owner lets demo-police look",
        "operator reports an incident",
        "operator asks: purpose, case, both legal bases and their evidence",
        "supervisor approves",
        "operator takes a ticket; the first picture is there after",
        "owner withdraws at",
        f"{measured['digests_matched']} of {measured['pictures']} digests match",
        "operator tries again and is refused: authorisation_withdrawn",
        "owner reads the ledger: demo-police, op-",
        "last byte at ",
        "Where the time went",
    )
    places = [told.find(step) for step in steps]
    assert -1 not in places, steps[places.index(-1)]
    assert places == sorted(places)
    assert demo.left() == []


def test_lines_fit_a_terminal_and_wrap_under_themselves(folder: Path) -> None:
    for width in (80, 100):
        demo = Demo(folder / str(width), "--headless", environment={"COLUMNS": str(width)})
        demo.process.start()
        demo.until_told("supervisor approves")
        demo.process.signal(signal.SIGINT)
        demo.process.wait(END_TIMEOUT_S)
        lines = demo.process.log.read_text(encoding="utf-8").splitlines()
        assert max(len(line.rstrip()) for line in lines) <= width
        assert all(re.match(r" *[0-9.]+ s  [a-z]+ +\w", line) for line in lines[3:] if line[8:9] == "s")


def test_a_camera_that_is_not_there_is_named_and_the_status_says_so(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = folder / "result.json"
    demo = Demo(
        folder,
        "--headless",
        "--json",
        str(result),
        environment={"FEEDGATE_DEMO_CAMERA": f"rtsp://shop:{PASSWORD}@127.0.0.1:{port}/stream"},
    )
    demo.process.start()
    assert demo.process.wait(START_TIMEOUT_S + END_TIMEOUT_S) == 1
    assert (
        "the story broke off: no picture came within 15 s; the camera's feed is retrying (unreachable)."
        " The camera does not accept connections. Is it on, and is the port right?"
    ) in demo.told
    measured = json.loads(result.read_text(encoding="utf-8"))
    assert measured["first_picture_ms"] is None
    assert measured["pictures"] == 0
    assert demo.left() == []


@pytest.fixture
async def camera() -> AsyncIterator[Simulator]:
    """Somebody's own camera."""
    async with Simulator(Settings(user="shop", password=PASSWORD, size="640x360", kbps=600)) as simulator:
        yield simulator


async def test_the_readers_own_camera_plays_the_story(folder: Path, camera: Simulator) -> None:
    demo = Demo(folder, "--headless", environment={"FEEDGATE_DEMO_CAMERA": camera.rtsp_url()})
    demo.process.start()
    assert demo.process.wait(START_TIMEOUT_S + END_TIMEOUT_S) == 0
    assert "takes your camera, and starts an identity provider" in demo.told
    assert "with your camera" in demo.told
    assert "starts a camera" not in demo.told


async def test_a_wrong_password_ends_it_at_once_and_is_named(folder: Path, camera: Simulator) -> None:
    url = camera.rtsp_url(password=PASSWORD[::-1])
    demo = Demo(folder, "--headless", environment={"FEEDGATE_DEMO_CAMERA": url})
    demo.process.start()
    assert demo.process.wait(START_TIMEOUT_S + END_TIMEOUT_S) == 1
    assert demo.told.endswith(
        "the story broke off: no picture came; the camera's feed is refused (wrong_password)."
        " The camera refuses the user name or password."
    )
    assert PASSWORD[::-1] not in demo.told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["--camera", f"http://shop:{PASSWORD}@127.0.0.1/"],
            "feedgate: CAMERA cannot be used: the scheme `http`; allowed: `rtsp`",
            id="no RTSP",
        ),
        pytest.param(
            ["--headless", "--json", "no/such/folder/result.json"],
            "feedgate: --json: `no/such/folder/result.json` cannot be written: No such file or directory",
            id="no place for the result",
        ),
    ],
)
def test_what_keeps_it_from_beginning_is_one_line(folder: Path, arguments: list[str], says: str) -> None:
    demo = Demo(folder, *arguments)
    demo.process.start()
    assert demo.process.wait(START_TIMEOUT_S) == 2
    assert demo.told.endswith(says)


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        pytest.param(["--headless"], "starts a camera", INTERRUPTED, id="while it starts"),
        pytest.param(["--headless"], "is up at", INTERRUPTED, id="as the story begins"),
        pytest.param(["--headless"], "the first picture is there", INTERRUPTED, id="while pictures flow"),
        pytest.param([], "The link opens once", 0, id="while the page is there"),
    ],
)
def test_ctrl_c_leaves_nothing_behind(folder: Path, arguments: list[str], words: str, status: int) -> None:
    demo = Demo(folder, *arguments)
    demo.process.start()
    demo.until_told(words)
    children = demo.children()
    demo.process.signal(signal.SIGINT)
    assert demo.process.wait(END_TIMEOUT_S) == status
    assert demo.told.endswith("has ended, and nothing is left behind")
    assert demo.left() == []
    assert [pid for pid in children if parent_of(Path("/proc", str(pid))) is not None] == []
    assert children or words == "starts a camera"


def test_an_impatient_second_ctrl_c_changes_nothing(folder: Path) -> None:
    demo = Demo(folder)
    demo.process.start()
    demo.until_told("The link opens once")
    demo.process.signal(signal.SIGINT)
    demo.process.signal(signal.SIGINT)
    assert demo.process.wait(END_TIMEOUT_S) == 0
    assert demo.left() == []


async def test_the_link_opens_the_page_with_a_live_picture_once(folder: Path, browser: Browser) -> None:
    demo = Demo(folder)
    demo.process.start()
    try:
        demo.until_told("The link opens once")
        (link,) = re.findall(r"http://127\.0\.0\.1:\d+/demo/#[\w-]+", demo.told)
        page = await browser.new_page()
        await page.goto(link)
        await expect(page.locator("#tile")).to_have_attribute("data-state", "live", timeout=30_000)
        await page.get_by_role("button", name="Stop sharing").click()
        await expect(page.locator("#tile")).to_have_attribute("data-state", "stopped", timeout=10_000)
        await page.get_by_role("button", name="Begin again").click()
        await expect(page.locator("#tile")).to_have_attribute("data-state", "live", timeout=30_000)
        if shots := os.environ.get("FEEDGATE_SCREENSHOTS"):
            await page.screenshot(path=Path(shots) / "demo.png", full_page=True)
    finally:
        demo.process.end()
    assert demo.left() == []


def test_make_demo_gives_the_address_in_the_environment_and_not_as_an_argument() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "FEEDGATE_DEMO_CAMERA = $(value CAMERA)" in makefile
    assert "feedgate demo\n" in makefile
