"""Ingest in front of cameras of another make."""

from collections.abc import AsyncIterator

import pytest

from feedgate_contracts.feed.v1.feed_pb2 import FEED_PHASE_LIVE, FEED_PHASE_REFUSED
from tests.servers.gstreamer import Auth, Codec, StartGStreamerCamera
from tests.system.ingest_world import IngestWorld, SharedCamera


@pytest.fixture
async def world() -> AsyncIterator[IngestWorld]:
    async with IngestWorld() as world:
        yield world


@pytest.mark.parametrize("auth", ["none", "basic", "digest"])
async def test_h264_is_played_with_whatever_login(
    world: IngestWorld, gstreamer_rtsp: StartGStreamerCamera, auth: Auth
) -> None:
    camera = await world.share(SharedCamera(gstreamer_rtsp(auth=auth).url))
    async with world.pictures(camera) as pictures:
        world.demand(camera)
        state = await world.until_phase(camera, FEED_PHASE_LIVE)
        first = await anext(pictures)
    assert first.is_random_access_point
    assert len(first.parameter_sets) == 2
    assert (state.codec[:7], state.width, state.height) == ("avc1.42", 320, 240)


@pytest.mark.parametrize(("codec", "seen"), [("h265", "H265"), ("mjpeg", "JPEG")])
async def test_other_codecs_are_refused_by_name(
    world: IngestWorld, gstreamer_rtsp: StartGStreamerCamera, codec: Codec, seen: str
) -> None:
    source = gstreamer_rtsp(codec=codec)
    camera = await world.share(SharedCamera(source.url))
    world.demand(camera)
    state = await world.until_reason(camera, "unsupported_codec")
    assert state.phase == FEED_PHASE_REFUSED
    assert seen in state.detail
    assert source.tracks_set_up() == set()


async def test_only_the_video_of_an_audio_camera_is_set_up(
    world: IngestWorld, gstreamer_rtsp: StartGStreamerCamera
) -> None:
    source = gstreamer_rtsp(audio=True)
    camera = await world.share(SharedCamera(source.url))
    world.demand(camera)
    await world.until(camera, lambda state: state.pictures_per_second > 0)
    assert len(source.tracks_set_up()) == 1


async def test_a_wrong_password_is_named(world: IngestWorld, gstreamer_rtsp: StartGStreamerCamera) -> None:
    source = gstreamer_rtsp(auth="digest")
    camera = await world.share(SharedCamera(source.url.replace(source.password, "wrong")))
    world.demand(camera)
    await world.until_reason(camera, "wrong_password")


async def test_a_login_that_is_missing_is_asked_for(
    world: IngestWorld, gstreamer_rtsp: StartGStreamerCamera
) -> None:
    source = gstreamer_rtsp(auth="basic")
    camera = await world.share(SharedCamera(source.address))
    world.demand(camera)
    await world.until_reason(camera, "password_needed")


async def test_a_path_that_does_not_exist_is_named(
    world: IngestWorld, gstreamer_rtsp: StartGStreamerCamera
) -> None:
    source = gstreamer_rtsp()
    camera = await world.share(SharedCamera(source.url.replace(source.scene.path, "/nowhere")))
    world.demand(camera)
    await world.until_reason(camera, "no_such_path")
