"""A camera is touched while it is demanded, shared and known to be; and no longer."""

import asyncio

import pytest

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_PAUSED, SHARING_STOPPED, Mask
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_kit.errors import BusError
from services.ingest.tests.coded import KEY, TRACK, picture
from services.ingest.tests.yard import STREAM, Part, Yard, settled


async def test_without_demand_nothing_is_fetched_and_nothing_connected(yard: Yard) -> None:
    yard.share()
    for _ in range(20):
        await yard.go_on(0.5)
    assert yard.camera.connections == []
    assert yard.vault.fetched == 0
    assert yard.last_words == []


async def test_demand_connects(yard: Yard) -> None:
    connection = await yard.go_live()
    assert connection.is_open
    assert connection.source.url.host == "192.0.2.1"
    assert [unit.sequence for unit in yard.feed.units] == [0]
    assert yard.last_words == [("connecting", ""), ("live", "")]


async def test_repeated_demand_keeps_one_connection(yard: Yard) -> None:
    await yard.go_live()
    for _ in range(10):
        await yard.demand()
        await yard.go_on(2.0)
    assert len(yard.camera.connections) == 1
    assert yard.connection.is_open


async def test_six_seconds_after_the_last_demand_it_hangs_up(yard: Yard) -> None:
    connection = await yard.go_live()
    await yard.go_on(5.9)
    assert connection.is_open
    await yard.go_on(0.1)
    assert not connection.is_open
    assert yard.last_words[-1] == ("idle", "not_demanded")


async def test_a_release_hangs_up_at_once(yard: Yard) -> None:
    connection = await yard.go_live()
    await yard.demand(release=True)
    await yard.go_on()
    assert not connection.is_open


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"sharing": SHARING_PAUSED}, "sharing_paused", id="paused"),
        pytest.param({"sharing": SHARING_STOPPED}, "sharing_stopped", id="stopped"),
        pytest.param({"removed": True}, "camera_removed", id="removed"),
    ],
)
async def test_the_owners_stop_hangs_up_at_once(yard: Yard, changes: dict[str, object], reason: str) -> None:
    connection = await yard.go_live()
    yard.share(**changes)
    yard.worker.settle()
    connection.send(picture(1, KEY))
    await yard.go_on()
    assert not connection.is_open
    assert [unit.sequence for unit in yard.feed.units] == [0], "what was read after the stop is not published"
    assert yard.last_words[-1] == ("idle", reason)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sharing": SHARING_PAUSED}, id="paused"),
        pytest.param({"sharing": SHARING_STOPPED}, id="stopped"),
        pytest.param({"removed": True}, id="removed"),
        pytest.param({"masks": [Mask()], "mask_version": 1}, id="masked"),
    ],
)
async def test_what_the_owner_stopped_is_erased_once_it_is_hung_up(
    yard: Yard, changes: dict[str, object]
) -> None:
    await yard.go_live()
    assert yard.erased == []
    yard.share(**changes)
    await yard.go_on()
    assert yard.erased == [STREAM]
    await yard.demand()
    await yard.go_on(1)
    assert yard.erased == [STREAM], "once is enough"


async def test_a_stop_that_is_read_after_the_relay_let_go_erases_too(yard: Yard) -> None:
    await yard.go_live()
    await yard.demand(release=True)
    await yard.go_on()
    assert yard.erased == []
    yard.share(sharing=SHARING_STOPPED)
    await yard.go_on(30)
    assert yard.erased == [STREAM]


async def test_a_stream_that_came_back_is_erased_at_the_next_stop(yard: Yard) -> None:
    await yard.go_live()
    yard.share(sharing=SHARING_PAUSED)
    await yard.go_on()
    yard.share()
    await yard.go_live()
    yard.share(sharing=SHARING_STOPPED)
    await yard.go_on()
    assert yard.erased == [STREAM, STREAM]


async def test_nothing_is_erased_because_nobody_looks_or_nothing_is_known(yard: Yard) -> None:
    await yard.go_live()
    await yard.go_on(7)
    await yard.go_live()
    await yard.demand()
    await yard.go_on(4, fresh=False)
    yard.versions["cam"] += 1
    yard.publish("cam", b"\xff")
    await yard.go_on()
    assert yard.erased == []


async def test_it_hangs_up_when_the_owners_will_is_not_known_to_be_fresh(yard: Yard) -> None:
    connection = await yard.go_live()
    await yard.demand()
    await yard.go_on(3.9, fresh=False)
    assert connection.is_open
    await yard.go_on(0.1, fresh=False)
    assert not connection.is_open
    assert yard.last_words[-1] == ("idle", "state_not_fresh")


async def test_it_comes_back_when_the_owners_will_is_fresh_again(yard: Yard) -> None:
    await yard.go_live()
    await yard.demand()
    await yard.go_on(4, fresh=False)
    await yard.go_on()
    assert len(yard.camera.connections) == 2
    assert yard.connection.is_open


async def test_nothing_is_connected_before_the_first_heartbeat(yard: Yard) -> None:
    yard.share()
    await yard.demand()
    await yard.go_on(fresh=False)
    assert yard.camera.connections == []


async def test_an_unreadable_record_hangs_up(yard: Yard) -> None:
    connection = await yard.go_live()
    yard.versions["cam"] += 1
    yard.publish("cam", b"\xff")
    await yard.go_on()
    assert not connection.is_open
    assert yard.last_words[-1] == ("idle", "camera_unknown")


async def test_a_camera_that_moves_to_another_pool_is_let_go_in_silence(yard: Yard) -> None:
    connection = await yard.go_live()
    said = len(yard.last_words)
    yard.share(ingest_pool="lake", pool_version=2)
    await yard.go_on()
    assert not connection.is_open
    assert len(yard.last_words) == said, "the other pool's worker speaks of it now"


async def test_a_new_pool_version_or_mask_version_is_a_new_run(yard: Yard) -> None:
    first = await yard.go_live()
    yard.share(mask_version=1)
    await yard.go_on()
    assert not first.is_open
    yard.connection.begin(TRACK)
    yard.connection.send(picture(0, KEY))
    assert [unit.mask_version for unit in yard.feed.units] == [0, 1]
    assert yard.feed.units[0].run != yard.feed.units[1].run
    yard.share(mask_version=1, pool_version=3)
    await yard.go_on()
    yard.connection.begin(TRACK)
    yard.connection.send(picture(0, KEY))
    assert yard.feed.units[2].epoch.pool_version == 3


async def test_a_change_that_leaves_the_source_leaves_the_connection(yard: Yard) -> None:
    connection = await yard.go_live()
    yard.share(jurisdiction="AR")
    await yard.go_on()
    assert connection.is_open
    assert len(yard.camera.connections) == 1


async def test_a_new_source_is_connected_to_at_once(yard: Yard) -> None:
    connection = await yard.go_live()
    yard.vault.urls["cam"] = "rtsp://admin:new@192.0.2.2/cam"
    yard.share()
    await yard.go_on()
    assert not connection.is_open
    assert yard.connection.source.url.host == "192.0.2.2"
    assert yard.registry.get_sample_value("ingest_runs_ended_total", {"reason": "source_changed"}) == 1


async def test_a_registry_that_does_not_answer_is_asked_again_while_pictures_flow(yard: Yard) -> None:
    connection = await yard.go_live()
    yard.vault.failure = FeedError(Reason.SOURCE_UNAVAILABLE)
    yard.share()
    await yard.go_on()
    assert connection.is_open
    yard.vault.failure = None
    yard.vault.urls["cam"] = "rtsp://192.0.2.2/cam"
    await yard.retry()
    assert not connection.is_open
    assert yard.connection.source.url.host == "192.0.2.2"


async def test_one_cameras_failure_never_touches_another(yard: Yard) -> None:
    good = await yard.go_live()
    yard.share("bad")
    await yard.demand("bad/original")
    await yard.go_on()
    for error in (
        FeedError(Reason.UNREACHABLE),
        ZeroDivisionError("a fault of ours"),
        FeedError(Reason.STALLED),
    ):
        yard.connection.fail(error)
        await yard.go_on()
        await yard.retry()
    assert len(yard.camera.connections) == 5
    good.send(picture(1))
    assert good.is_open
    assert [unit.sequence for unit in yard.feed.units] == [0, 1]


async def test_a_stream_that_is_demanded_again_while_it_hangs_up_waits_for_the_end(yard: Yard) -> None:
    connection = await yard.go_live()
    yard.camera.may_close.clear()
    await yard.demand(release=True)
    await yard.go_on(0.01)
    await yard.demand()
    await yard.go_on()
    assert connection.is_open
    assert len(yard.camera.connections) == 1, "the camera never has two connections of ours"
    yard.camera.may_close.set()
    await yard.go_on()
    assert not connection.is_open
    assert yard.connection.is_open
    assert len(yard.camera.connections) == 2


async def test_a_camera_nobody_ever_heard_of_is_not_spoken_of(yard: Yard) -> None:
    await yard.demand("other/original")
    await yard.go_on()
    assert yard.states.records == []


async def test_renditions_that_do_not_exist_are_named(yard: Yard) -> None:
    yard.share()
    await yard.demand("cam/masked")
    await yard.go_on()
    (state,) = yard.states.said("cam/masked")
    assert state.reason == "rendition_unavailable"
    assert yard.camera.connections == []


async def test_at_its_end_the_worker_hangs_up_everywhere_and_says_so(yard: Yard) -> None:
    connection = await yard.go_live()
    await yard.worker.close()
    await yard.board.send()
    assert not connection.is_open
    assert yard.last_words[-1] == ("idle", "worker_ended")


async def test_cameras_are_counted_by_phase(yard: Yard) -> None:
    await yard.go_live()
    yard.share("bad")
    await yard.demand("bad/original")
    await yard.go_on()
    yard.connection.fail(FeedError(Reason.WRONG_PASSWORD))
    await yard.go_on()

    def counted(phase: str) -> float | None:
        return yard.registry.get_sample_value("ingest_cameras", {"phase": phase})

    assert (counted("live"), counted("refused"), counted("idle")) == (1, 1, 0)
    await yard.go_on(7)
    assert (counted("live"), counted("refused"), counted("idle")) == (0, 0, 0)


async def test_what_the_group_gives_to_another_is_hung_up_before_it_is_let_go_of(yard: Yard) -> None:
    kept = await yard.go_live()
    yard.share("other")
    await yard.demand("other/original")
    await yard.go_on()
    lost = yard.connection
    lost.begin(TRACK)
    lost.send(picture(0, KEY))
    await yard.go_on()
    said = len(yard.states.records)
    yard.camera.may_close.clear()
    letting_go = asyncio.create_task(yard.worker.hold(Part(2, without={"other"})))
    await settled()
    published = len(yard.feed.units)
    lost.send(picture(1))
    assert len(yard.feed.units) == published, "nothing of it is published from that moment"
    assert not letting_go.done(), "the camera still has a connection of ours"
    yard.camera.may_close.set()
    await letting_go
    assert not lost.is_open
    assert kept.is_open, "what is still ours goes on"
    await yard.go_on()
    assert len(yard.states.records) == said, "its new worker speaks of it now"


async def test_of_a_camera_it_lost_not_even_what_waits_is_said(yard: Yard) -> None:
    yard.states.failure = BusError("away")
    await yard.go_live()
    await yard.worker.hold(Part(2, without={"cam"}))
    yard.states.failure = None
    await yard.go_on()
    assert yard.states.records == []


async def test_a_camera_that_comes_with_a_new_share_is_connected_to_under_its_generation(yard: Yard) -> None:
    yard.worker.share = Part(7, without={"cam"})
    yard.share()
    await yard.demand()
    await yard.go_on()
    assert yard.camera.connections == []
    await yard.worker.hold(Part(8))
    await yard.go_on()
    yard.connection.begin(TRACK)
    yard.connection.send(picture(0, KEY))
    assert (yard.feed.units[0].epoch.pool_version, yard.feed.units[0].epoch.generation) == (1, 8)


async def test_a_kept_camera_keeps_its_run_when_the_group_divides_anew(yard: Yard) -> None:
    connection = await yard.go_live()
    await yard.worker.hold(Part(2))
    connection.send(picture(1))
    assert [unit.epoch.generation for unit in yard.feed.units] == [1, 1]
    assert len(yard.camera.connections) == 1


async def test_a_worker_its_group_may_have_forgotten_hangs_up_in_silence(yard: Yard) -> None:
    connection = await yard.go_live()
    said = len(yard.last_words)
    part = yard.worker.share
    assert isinstance(part, Part)
    part.is_alive = False
    await yard.demand()
    await yard.go_on()
    assert not connection.is_open
    await yard.worker.close()
    assert len(yard.last_words) == said
    await yard.worker.hold(Part(3))
    await yard.go_on()
    assert len(yard.camera.connections) == 1, "an ended worker connects to nothing"
