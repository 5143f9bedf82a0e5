"""Ingest in front of a simulated camera and everything that can be wrong with it."""

import asyncio
import io
from collections.abc import AsyncIterator
from itertools import pairwise
from urllib.parse import quote

import av
import pytest

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_PAUSED
from feedgate_contracts.digest import length_prefixed, picture_digest
from feedgate_contracts.feed.v1.feed_pb2 import (
    FEED_PHASE_IDLE,
    FEED_PHASE_LIVE,
    FEED_PHASE_REFUSED,
    FEED_PHASE_RETRYING,
    FeedState,
)
from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_kit.metrics import exposition
from feedgate_kit.telemetry import configure_logging
from feedgate_tools.simulator.picture_number import Image, read_picture_number
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.system.ingest_world import IngestWorld, SharedCamera

PASSWORD = "Vogel/Beere:7@x"
SMALL = Settings(size="320x180", kbps=400, user="admin", password=PASSWORD, cameras=2, audio=True)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SMALL) as simulator:
        yield simulator


@pytest.fixture
async def world() -> AsyncIterator[IngestWorld]:
    async with IngestWorld() as world:
        yield world


async def live(world: IngestWorld, url: str) -> SharedCamera:
    """A camera that is shared, demanded and sends pictures."""
    camera = await world.share(SharedCamera(url))
    world.demand(camera)
    await world.until_phase(camera, FEED_PHASE_LIVE)
    return camera


async def refused(world: IngestWorld, camera: SharedCamera, reason: str) -> FeedState:
    await world.share(camera)
    world.demand(camera)
    return await world.until_reason(camera, reason)


async def live_again(world: IngestWorld, camera: SharedCamera, after: FeedState) -> FeedState:
    """The first word that it is live in another run than the one that ended."""
    return await world.until(
        camera, lambda state: state.phase == FEED_PHASE_LIVE and state.run not in {"", after.run}
    )


def numbers(units: list[AccessUnit]) -> list[int | None]:
    """What a decoder reads in the strips of these pictures."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    start_code = b"\x00\x00\x00\x01"
    read: list[int | None] = []
    for unit in units:
        data = b"".join(start_code + nal_unit for nal_unit in (*unit.parameter_sets, *unit.nal_units))
        for picture in decoder.decode(av.Packet(data)):
            image: Image = picture.to_ndarray(format="gray").astype("uint8")
            read.append(read_picture_number(image))
    return read


async def test_pictures_arrive_whole_in_order_and_chained(world: IngestWorld, simulator: Simulator) -> None:
    camera = await world.share(SharedCamera(simulator.rtsp_url()))
    async with asyncio.timeout(20), world.pictures(camera) as pictures:
        world.demand(camera)
        units = [await anext(pictures) for _ in range(40)]
    assert [unit.sequence for unit in units] == list(range(40))
    assert units[0].is_random_access_point
    assert len({unit.run for unit in units}) == 1
    assert {(unit.epoch.pool_version, unit.epoch.generation) for unit in units} == {(1, 1)}
    assert units[0].dts == 0
    assert all(earlier.dts < later.dts for earlier, later in pairwise(units))
    assert all(earlier.received_at_us <= later.received_at_us for earlier, later in pairwise(units))
    assert all(unit.camera_time_trusted for unit in units)
    previous = bytes(32)
    for unit in units:
        assert unit.previous_digest == previous
        previous = unit.digest
        assert previous == picture_digest(
            previous=unit.previous_digest,
            stream=camera.stream,
            run=unit.run,
            sequence=unit.sequence,
            dts=unit.dts,
            received_at_us=unit.received_at_us,
            mask_version=0,
            sample=length_prefixed(unit.nal_units),
        )
    seen = [number for number in numbers(units) if number is not None]
    # Every picture is read; its number steps as its time does, also where a busy machine skipped one.
    steps = [(later.dts - earlier.dts) // 3600 for earlier, later in pairwise(units[1:])]
    assert [later - earlier for earlier, later in pairwise(seen[1:])] == steps[: len(seen) - 2]


async def test_a_live_feed_says_what_it_is_and_sets_up_no_audio(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = await live(world, simulator.rtsp_url())
    state = await world.until(camera, lambda state: state.pictures_per_second > 0)
    assert (state.codec[:5], state.width, state.height) == ("avc1.", 320, 180)
    assert state.keyframe_interval_s == pytest.approx(1.0, rel=0.5)
    counts = (await simulator.stats()).paths["/cam0"]
    assert counts.setups == {"video": 1, "audio": 0}
    assert (await simulator.stats()).audio_packets_sent == 0


async def test_a_camera_is_not_touched_without_demand(world: IngestWorld, simulator: Simulator) -> None:
    await world.share(SharedCamera(simulator.rtsp_url("/cam1")))
    demanded = await live(world, simulator.rtsp_url("/cam0"))
    await world.take(demanded, 10)
    untouched = (await simulator.stats()).paths["/cam1"]
    assert (untouched.describes, untouched.unauthorized, untouched.plays) == (0, 0, 0)
    assert world.handed_over == 1, "not even its source was fetched"


async def test_a_release_ends_the_connection(world: IngestWorld, simulator: Simulator) -> None:
    camera = await live(world, simulator.rtsp_url())
    await world.release(camera)
    await world.until_reason(camera, "not_demanded")
    await simulator.until(lambda counts: counts.connections_open == 0)


async def test_a_relay_that_falls_silent_ends_the_connection(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = await live(world, simulator.rtsp_url())
    await world.fall_silent(camera)
    await world.until_reason(camera, "not_demanded")
    await simulator.until(lambda counts: counts.connections_open == 0)


async def test_a_withdrawal_ends_the_connection_without_anybodys_help(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = await live(world, simulator.rtsp_url())
    async with world.pictures(camera) as pictures:
        await anext(pictures)
        await world.change(camera, sharing=SHARING_PAUSED)
        state = await world.until_reason(camera, "sharing_paused")
        stopped_at_us = state.changed_at.ToMicroseconds()
        await simulator.until(lambda counts: counts.connections_open == 0)
        world.bus.media_feed("ingest.access-unit.media.v1").close()
        late = [unit async for unit in pictures if unit.received_at_us > stopped_at_us]
    assert state.phase == FEED_PHASE_IDLE
    assert late == [], "nothing read after the stop was published"


async def test_it_ends_when_the_owners_will_is_no_longer_known(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = await live(world, simulator.rtsp_url())
    world.is_publishing.clear()
    await world.until_reason(camera, "state_not_fresh")
    await simulator.until(lambda counts: counts.connections_open == 0)
    world.forget_said()
    world.is_publishing.set()
    await world.until_phase(camera, FEED_PHASE_LIVE)


async def test_a_wrong_password_is_named_and_not_insisted_on(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = SharedCamera(simulator.rtsp_url(password="wrong"))
    state = await refused(world, camera, "wrong_password")
    assert state.phase == FEED_PHASE_REFUSED
    counts = (await simulator.stats()).paths["/cam0"]
    assert (counts.unauthorized, counts.plays) == (2, 0), "asked once without and once with the password"
    world.forget_said()
    await world.change(camera, url=simulator.rtsp_url(), source_version=2)
    await world.until_phase(camera, FEED_PHASE_LIVE)


async def test_a_path_that_does_not_exist_is_named(world: IngestWorld, simulator: Simulator) -> None:
    state = await refused(world, SharedCamera(simulator.rtsp_url("/nowhere")), "no_such_path")
    assert state.phase == FEED_PHASE_REFUSED


async def test_a_camera_that_is_off_is_named(world: IngestWorld) -> None:
    async with Simulator(SMALL) as simulator:
        camera = SharedCamera(simulator.rtsp_url())
    assert (await refused(world, camera, "unreachable")).phase == FEED_PHASE_RETRYING


async def test_a_camera_that_freezes_has_stalled_and_comes_back(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = await live(world, simulator.rtsp_url())
    await simulator.control("freeze", path="/cam0")
    stalled = await world.until_reason(camera, "stalled")
    assert stalled.phase == FEED_PHASE_RETRYING
    await simulator.control("resume", path="/cam0")
    await live_again(world, camera, stalled)


async def test_a_camera_that_hangs_up_comes_back_in_a_new_run(
    world: IngestWorld, simulator: Simulator
) -> None:
    camera = await live(world, simulator.rtsp_url())
    async with world.pictures(camera) as pictures:
        first = await anext(pictures)
        await simulator.control("drop", path="/cam0", refuse_s=1)
        dropped = await world.until_reason(camera, "dropped_by_camera")
        await live_again(world, camera, dropped)
        async for unit in pictures:
            if unit.run != first.run:
                assert (unit.sequence, unit.dts, unit.is_random_access_point) == (0, 0, True)
                assert unit.previous_digest == bytes(32)
                break


async def test_a_camera_without_keyframes_is_named(world: IngestWorld, simulator: Simulator) -> None:
    await simulator.control("no-keyframes", path="/cam0")
    camera = SharedCamera(simulator.rtsp_url())
    state = await refused(world, camera, "no_keyframe")
    assert state.phase == FEED_PHASE_RETRYING
    assert all(said.phase != FEED_PHASE_LIVE for said in world.said(camera))


async def test_a_redirect_is_refused(world: IngestWorld, simulator: Simulator) -> None:
    async with Simulator(SMALL) as other:
        await simulator.control("redirect", path="/cam0", url=other.rtsp_url())
        await refused(world, SharedCamera(simulator.rtsp_url()), "redirected")
        assert (await other.stats()).connections_accepted == 0


@pytest.mark.parametrize("level", ["track", "session", "content-base"])
async def test_control_from_elsewhere_is_refused(
    world: IngestWorld, simulator: Simulator, level: str
) -> None:
    await simulator.control("control-elsewhere", path="/cam0", url="rtsp://192.0.2.1/cam", level=level)
    await refused(world, SharedCamera(simulator.rtsp_url()), "control_elsewhere")
    assert (await simulator.stats()).paths["/cam0"].plays == 0


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        pytest.param("127.0.0.1", (), id="loopback where only public addresses are allowed"),
        pytest.param("localhost", (), id="a name of loopback"),
        pytest.param("127.0.0.1", ("192.168.0.0/16", "0.0.0.0/0"), id="loopback outside the allow-list"),
        pytest.param("[::ffff:127.0.0.1]", ("127.0.0.1/32", "::/0"), id="IPv4 in IPv6 clothes"),
    ],
)
async def test_addresses_are_judged_again_at_connect(
    world: IngestWorld, simulator: Simulator, host: str, allowed: tuple[str, ...]
) -> None:
    before = (await simulator.stats()).connections_accepted
    url = simulator.rtsp_url().replace("127.0.0.1", host)
    state = await refused(world, SharedCamera(url, allowed_networks=allowed), "address_refused")
    assert state.phase == FEED_PHASE_REFUSED
    assert (await simulator.stats()).connections_accepted == before


async def test_one_camera_failing_never_touches_another(world: IngestWorld, simulator: Simulator) -> None:
    good = await live(world, simulator.rtsp_url("/cam0"))
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        meanwhile = tasks.create_task(
            world.take(good, 200)
        )  # eight seconds, all of what happens to the other
        bad = await live(world, simulator.rtsp_url("/cam1"))
        await simulator.control("drop", path="/cam1", refuse_s=0)
        await world.until_reason(bad, "dropped_by_camera")
        await simulator.control("freeze", path="/cam1")
        await world.until_reason(bad, "timed_out")  # it does not even describe itself
        assert not meanwhile.done()
    units = meanwhile.result()
    assert [unit.sequence - units[0].sequence for unit in units] == list(range(200))
    assert len({unit.run for unit in units}) == 1


async def test_nothing_that_leaves_holds_the_password(world: IngestWorld, simulator: Simulator) -> None:
    said = io.StringIO()
    configure_logging("DEBUG", said)
    camera = await live(world, simulator.rtsp_url())
    await simulator.control("drop", path="/cam0", refuse_s=1)
    await live_again(world, camera, await world.until_reason(camera, "dropped_by_camera"))
    await simulator.control("freeze", path="/cam0")
    stalled = await world.until_reason(camera, "stalled")
    await simulator.control("resume", path="/cam0")
    again = await live_again(world, camera, stalled)
    await simulator.control("refuse-auth", path="/cam0")
    await simulator.control("drop", path="/cam0")
    assert (await world.until_reason(camera, "wrong_password")).run != again.run
    out = said.getvalue() + str(world.said(camera))
    out += exposition({"ingest": world.service.registry}).decode()
    assert "run ended" in out
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "Vogel", "admin", "rtsp://", str(simulator.rtsp_port)):
        assert secret not in out
    assert camera.camera_id not in exposition({"ingest": world.service.registry}).decode()
