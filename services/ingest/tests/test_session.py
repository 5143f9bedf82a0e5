"""Run after run: what is tried again, how soon, and what is said of it."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from feedgate_contracts.feed.v1.feed_pb2 import FEED_PHASE_LIVE
from feedgate_ingest.picture import Picture
from feedgate_ingest.reasons import TREATMENTS, FeedError, Pace, Phase, Reason
from services.ingest.tests.coded import DELTA, KEY, STEP, TRACK, picture
from services.ingest.tests.yard import Yard


async def test_a_lost_camera_is_tried_again_with_growing_pauses(yard: Yard) -> None:
    await yard.connect()
    for _ in range(4):
        yard.connection.fail(FeedError(Reason.UNREACHABLE))
        await yard.go_on()
        await yard.demand()
        await yard.retry()
    assert [pause.seconds for pause in yard.pauses] == [0.5, 1.0, 2.0, 4.0]
    assert len(yard.camera.connections) == 5
    assert yard.last_words[:3] == [
        ("connecting", ""),
        ("retrying", "unreachable"),
        ("connecting", "unreachable"),
    ]


async def test_a_good_run_begins_the_pauses_anew(yard: Yard) -> None:
    await yard.connect()
    yard.connection.fail(FeedError(Reason.UNREACHABLE))
    await yard.go_on()
    connection = await yard.retry()
    connection.begin(TRACK)
    connection.send(picture(0, KEY))
    for _ in range(3):
        await yard.demand()
        await yard.go_on(4.0)
    connection.fail(FeedError(Reason.DROPPED_BY_CAMERA))
    await yard.go_on()
    assert [pause.seconds for pause in yard.pauses] == [0.5, 0.5]


async def test_every_run_is_another_one(yard: Yard) -> None:
    connection = await yard.go_live()
    connection.send(picture(1))
    connection.fail(FeedError(Reason.DROPPED_BY_CAMERA))
    await yard.go_on()
    await yard.retry()
    yard.connection.begin(TRACK)
    yard.connection.send(picture(7, KEY))
    first, _, second = yard.feed.units
    assert first.run != second.run
    assert (second.sequence, second.dts) == (0, 0)
    assert second.previous_digest == bytes(32)


async def test_a_reader_that_did_not_run_connects_anew_without_a_pause(yard: Yard) -> None:
    connection = await yard.go_live()
    connection.fail(FeedError(Reason.WORKER_PAUSED))
    await yard.go_on()
    assert yard.pauses == []
    assert len(yard.camera.connections) == 2
    assert yard.last_words[-1] == ("connecting", "worker_paused")


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        pytest.param([picture(1, DELTA, time=-STEP)], "camera_clock_stepped", id="time goes back"),
        pytest.param([picture(1, DELTA, time=10_000_000)], "camera_clock_stepped", id="time jumps"),
    ],
)
async def test_pictures_that_break_the_run_end_it(yard: Yard, pictures: list[Picture], reason: str) -> None:
    connection = await yard.go_live()
    for each in pictures:
        connection.send(each)
    await yard.go_on()
    assert not connection.is_open
    assert yard.last_words[-1] == ("retrying", reason)
    assert len(yard.feed.units) == 1


async def test_a_wrong_password_is_tried_once_a_minute(yard: Yard) -> None:
    await yard.connect()
    yard.connection.fail(FeedError(Reason.WRONG_PASSWORD))
    await yard.go_on()
    assert yard.last_words[-1] == ("refused", "wrong_password")
    assert [pause.seconds for pause in yard.pauses] == [60.0]


async def test_viewers_that_come_and_go_do_not_try_a_wrong_password_again(yard: Yard) -> None:
    await yard.connect()
    yard.connection.fail(FeedError(Reason.WRONG_PASSWORD))
    await yard.go_on()
    for _ in range(5):
        await yard.demand(release=True)
        await yard.go_on(1.0)
        await yard.demand()
        await yard.go_on(1.0)
    assert len(yard.camera.connections) == 1


@pytest.mark.parametrize("is_demanded", [True, False], ids=["while demanded", "while nobody looks"])
async def test_a_new_password_is_tried_at_once(yard: Yard, is_demanded: bool) -> None:
    await yard.connect()
    yard.connection.fail(FeedError(Reason.WRONG_PASSWORD))
    await yard.go_on()
    if not is_demanded:
        await yard.demand(release=True)
        await yard.go_on(1.0)
    yard.vault.urls["cam"] = "rtsp://admin:right@192.0.2.1/cam"
    yard.share()
    await yard.go_on()
    if not is_demanded:
        await yard.demand()
        await yard.go_on()
    assert len(yard.camera.connections) == 2
    assert yard.connection.source.url.password == "right"


@pytest.mark.parametrize("is_demanded", [True, False], ids=["while demanded", "while nobody looks"])
async def test_a_source_in_a_new_epoch_is_tried_at_once(yard: Yard, is_demanded: bool) -> None:
    # What registry really does: a new source moves the version that named it too.
    await yard.connect()
    yard.connection.fail(FeedError(Reason.WRONG_PASSWORD))
    await yard.go_on()
    if not is_demanded:
        await yard.demand(release=True)
        await yard.go_on(1.0)
    yard.vault.urls["cam"] = "rtsp://admin:right@192.0.2.1/cam"
    yard.share("cam", pool_version=2)
    await yard.go_on()
    if not is_demanded:
        await yard.demand()
        await yard.go_on()
    assert len(yard.camera.connections) == 2
    assert yard.connection.source.url.password == "right"


async def test_the_owners_change_begins_the_pauses_anew(yard: Yard) -> None:
    await yard.connect()
    for _ in range(3):
        yard.connection.fail(FeedError(Reason.UNREACHABLE))
        await yard.go_on()
        if len(yard.pauses) < 3:
            await yard.demand()
            await yard.retry()
    yard.share()
    await yard.go_on()
    yard.connection.fail(FeedError(Reason.UNREACHABLE))
    await yard.go_on()
    assert [pause.seconds for pause in yard.pauses] == [0.5, 1.0, 2.0, 0.5]


async def test_the_address_is_judged_at_every_connect(yard: Yard) -> None:
    yard.vault.urls["cam"] = "rtsp://cam.example/live"
    yard.names.known["cam.example"] = ["192.0.2.9"]
    connection = await yard.go_live()
    assert connection.source.url.host == "192.0.2.9", "pinned: nobody resolves the name again"
    yard.names.known["cam.example"] = ["192.0.2.9", "127.0.0.1"]
    connection.fail(FeedError(Reason.DROPPED_BY_CAMERA))
    await yard.go_on()
    await yard.retry()
    assert len(yard.camera.connections) == 1, "one forbidden address refuses them all"
    assert yard.last_words[-1] == ("refused", "address_refused")


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "metadata"),
        ("::ffff:192.0.2.1", "translated"),
        ("10.0.0.1", "private"),
        ("8.8.8.8", "outside allow list"),
    ],
)
async def test_addresses_outside_the_allow_list_are_refused(yard: Yard, address: str, seen: str) -> None:
    yard.vault.urls["cam"] = "rtsp://cam.example/live"
    yard.names.known["cam.example"] = [address]
    yard.share()
    await yard.demand()
    await yard.go_on()
    assert yard.camera.connections == []
    state = yard.states.said()[-1]
    assert state.reason == "address_refused"
    assert seen in state.detail
    assert address not in state.detail


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("rtsps://192.0.2.1/live", "source_unusable"),
        ("file:///etc/passwd", "source_unusable"),
        ("rtsp://nowhere.example/live", "name_unresolved"),
    ],
)
async def test_a_source_that_cannot_be_used_says_why(yard: Yard, url: str, reason: str) -> None:
    yard.vault.urls["cam"] = url
    yard.names.known["nowhere.example"] = []
    yard.share()
    await yard.demand()
    await yard.go_on()
    assert yard.camera.connections == []
    assert yard.states.said()[-1].reason == reason


async def test_a_source_sealed_to_another_key_is_unusable(yard: Yard) -> None:
    yard.vault.private_key = X25519PrivateKey.generate()
    yard.share()
    await yard.demand()
    await yard.go_on()
    assert yard.states.said()[-1].reason == "source_unusable"


async def test_a_registry_that_does_not_answer_is_asked_again(yard: Yard) -> None:
    yard.vault.failure = FeedError(Reason.SOURCE_UNAVAILABLE)
    yard.share()
    await yard.demand()
    await yard.go_on()
    assert yard.states.said()[-1].reason == "source_unavailable"
    yard.vault.failure = None
    await yard.retry()
    assert yard.connection.is_open


async def test_a_live_feed_tells_what_it_is(yard: Yard) -> None:
    connection = await yard.connect()
    connection.begin(TRACK)
    for number in range(11):
        connection.send(picture(number, KEY if number % 10 == 0 else DELTA))
    await yard.go_on()
    state = yard.states.said()[-1]
    assert state.phase == FEED_PHASE_LIVE
    assert (state.codec, state.width, state.height) == ("avc1.42c01e", 640, 360)
    assert (state.pictures_per_second, state.keyframe_interval_s) == (25.0, 0.4)
    assert state.run
    assert state.worker_id == "worker"


@pytest.mark.parametrize(
    "reason", [reason for reason in Reason if TREATMENTS[reason].phase is not Phase.IDLE]
)
async def test_nothing_that_is_said_holds_an_address_or_a_credential(yard: Yard, reason: Reason) -> None:
    connection = await yard.go_live()
    connection.fail(FeedError(reason))
    await yard.go_on()
    assert yard.registry.get_sample_value("ingest_runs_ended_total", {"reason": reason}) == 1
    for record in yard.states.records:
        for secret in (b"hunter2", b"admin", b"192.0.2", b"rtsp://"):
            assert secret not in record.value


def test_every_reason_has_a_sentence_and_a_pace_that_fits_its_phase() -> None:
    assert set(TREATMENTS) == set(Reason)
    for reason, treatment in TREATMENTS.items():
        assert treatment.sentence.endswith((".", "?")), reason
        if treatment.phase is Phase.REFUSED:
            assert treatment.pace is not Pace.AT_ONCE, reason
