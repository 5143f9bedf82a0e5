"""The owner's, the operator's and the one box's guide, word by word, against a real Feedgate."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from feedgate_client import FeedgateClient, Notice, View
from feedgate_kit.clock import SystemClock
from feedgate_tools.issuer import DevelopmentIssuer
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.system.guide import blocks, examples, run, sections
from tests.system.one_box import AGENCY, OneBox

pytestmark = pytest.mark.timeout(240)

SHOWN_ISSUERS = "https://id.example.org/realms/"
SHOWN_NETWORK = "192.168.7.0/24"


@pytest.fixture
async def camera() -> AsyncIterator[Simulator]:
    settings = Settings(user="shop", password="simulated-only", size="640x360", kbps=600)
    async with Simulator(settings) as simulator:
        yield simulator


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[OneBox]:
    """One box with the files and the settings of its guide; only addresses are this machine's."""
    async with DevelopmentIssuer(SystemClock(), agency=AGENCY) as issuer:
        box = OneBox(tmp_path / "box", issuer)
        for block in blocks(sections("one-box.md")["Two files"]):
            if block.language == "yaml":
                text = block.text.replace(SHOWN_ISSUERS, f"{issuer.origin}/realms/")
                (box.folder / f"{block.words}.yaml").write_text(text, encoding="utf-8")
        (start, *_) = blocks(sections("one-box.md")["Start"])
        for line in start.text.splitlines():
            if line.startswith("export "):
                name, value = line.removeprefix("export ").split("=", 1)
                box.environment[name] = value.strip("'").replace(SHOWN_NETWORK, "127.0.0.1/32")
        assert start.text.splitlines()[-1] == "feedgate up --data DIR"
        # ServerProcess runs where its log is, which is where the files are: `issuers.yaml` is meant as shown.
        box.start_ready()
        yield box
        assert box.stop() == 0


async def test_the_guides_of_owner_and_operator_happen_as_written(box: OneBox, camera: Simulator) -> None:
    now = datetime.now(UTC)
    person = box.issuer.person
    operator = person("operator").token_source()
    variables = {
        "FEEDGATE": box.public,
        "OWNER": await person("owner").token_source()(),
        "OPERATOR": await operator(),
        "SUPERVISOR": await person("supervisor").token_source()(),
        "CAMERA_URL": camera.rtsp_url(),
        "NOW": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "IN_AN_HOUR": (now + timedelta(minutes=59)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "IN_30_DAYS": (now + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    owners, operators = sections("owner.md"), sections("operator.md")
    commands = sum(text.count("```sh") for guide in (owners, operators) for text in guide.values())
    ran = 0
    async with httpx.AsyncClient(timeout=15.0) as http:

        async def follow(guide: dict[str, str], titles: Iterable[str]) -> None:
            nonlocal ran
            for title in titles:
                for example in examples(guide.pop(title)):
                    await run(example, variables, http)
                    ran += 1

        await follow(owners, ["Register a camera", "Share it", "Narrow it"])
        await follow(
            operators, ["Find cameras near an incident", "Ask", "Approve, as another person", "Watch"]
        )
        async with (
            FeedgateClient(box.public, operator) as client,
            client.open_view(variables["GRANT"]) as view,
        ):
            await until_told(view, "started")
            await follow(owners, ["Pause and resume"])
            told = await until_told(view, "resumed")
            assert "paused_by_owner" in told
        await follow(operators, ["When you are done", "Read why"])
        await follow(owners, ["Withdraw", "Who looked", "Look after the camera"])
    assert (owners, operators) == ({}, {}), "sections that no test follows"
    assert ran == commands


async def until_told(view: View, code: str) -> list[str]:
    """The codes of a view's notices up to this one."""
    codes = []
    async with asyncio.timeout(30):
        async for item in view:
            if isinstance(item, Notice):
                codes.append(item.code)
                if item.code == code:
                    return codes
    raise AssertionError(f"the view ended before `{code}`: {codes}")
