"""The whole path with every service its own process and user, on a Kafka that is locked down and a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from feedgate_client import Notice, Picture, kafka_frame_events
from feedgate_client.pictures import matches
from feedgate_client.view import View
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.topics import ACCESS_UNITS, load_topics
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import People, eventually
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.deployment import AGENCY, Deployment
from tests.servers.kafka_reading import whole_topic

pytestmark = [pytest.mark.needs("kafka", "postgres"), pytest.mark.timeout(180)]


ERASED_WITHIN_S = 15.0
"""Far below what the topic file says that Kafka keeps pictures by itself: 60 s."""


@pytest.fixture
async def camera() -> AsyncIterator[Simulator]:
    settings = Settings(user="shop", password="simulated-only", size="640x360", kbps=600)
    async with Simulator(settings) as simulator:
        yield simulator


async def watch(view: View, pictures: int) -> list[Picture | Notice]:
    seen: list[Picture | Notice] = []
    async with asyncio.timeout(30):
        async for item in view:
            seen.append(item)
            if sum(isinstance(item, Picture) for item in seen) >= pictures:
                break
    return seen


async def test_the_story_on_a_secured_kafka(secured_deployment: Deployment, camera: Simulator) -> None:
    async with secured_deployment.people() as people:
        shared = await people.open_share(await people.register_camera(camera.rtsp_url()))
        stream = f"{shared.camera_id}/original"
        async with secured_deployment.view(people, shared.grant_id) as view:
            seen = await watch(view, pictures=60)
            assert await lies_on_the_bus(secured_deployment, stream)
            await people.withdraw(shared.authorisation_id)
            seen += [item async for item in view]
        pictures = [item for item in seen if isinstance(item, Picture)]
        codes = [item.code for item in seen if isinstance(item, Notice)]
        assert codes[-1] == "stopped"
        assert isinstance(seen[-1], Notice), "no picture after the notice"
        assert view.late_pictures == 0

        groups: list[FrameEvent] = []
        async with asyncio.timeout(15):
            user = f"agency-{AGENCY}"
            security = secured_deployment.kafka_user(user).client_options()
            async for event in kafka_frame_events(
                secured_deployment.kafka_bootstrap, AGENCY, f"{user}.cases", **security
            ):
                if event.HasField("group_of_pictures"):
                    groups.append(event)
                if all(
                    any(matches(picture.sample, picture.sequence, group) for group in groups)
                    for picture in pictures
                ):
                    break

        with pytest.raises(StoryError, match="authorisation_withdrawn"):
            async with secured_deployment.view(people, shared.grant_id):
                pass
        await eventually(
            lambda: lies_on_the_bus(secured_deployment, stream),
            lambda lies: not lies,
            ERASED_WITHIN_S,
            "nothing of the stream in the media topic",
        )
        entry = await ended_view(people, shared.camera_id)
        assert entry["pictures"] >= len(pictures)
        assert entry["dark_at"] is not None


async def lies_on_the_bus(deployment: Deployment, stream: str) -> bool:
    """Whether whoever reads the media topic from its beginning finds a picture of the stream."""
    assert deployment.secured is not None
    media, administrator = load_topics()[ACCESS_UNITS], deployment.secured.administrator
    records = await whole_topic(deployment.kafka_bootstrap, media, administrator)
    return stream.encode() in {record.key for record in records}


async def ended_view(people: People, camera_id: str) -> dict[str, Any]:
    entries = await eventually(
        lambda: people.read_ledger(camera_id),
        lambda entries: any(entry["kind"] == "view" and entry["ended_at"] for entry in entries),
        20.0,
        "the ended view in the ledger",
    )
    found: dict[str, Any] = next(entry for entry in entries if entry["kind"] == "view")
    return found
