"""Which streams are connected, as a table."""

import pytest

from feedgate_contracts.camera.v1.camera_pb2 import (
    SHARING_ON,
    SHARING_PAUSED,
    SHARING_STOPPED,
    SHARING_UNSPECIFIED,
    CameraState,
    Mask,
)
from feedgate_ingest.desired import Desired, desired
from feedgate_ingest.reasons import Reason


def camera(**changes: object) -> CameraState:
    state = CameraState(camera_id="cam", version=7, sharing=SHARING_ON, ingest_pool="yard", pool_version=3)
    state.MergeFrom(CameraState(**changes))  # type: ignore[arg-type]  # fields of the message, by name
    return state


def ask(state: CameraState | None, *, stream: str = "cam/original", is_fresh: bool = True) -> Desired:
    return desired([stream], {"cam": state}.get, {"cam"}.__contains__, is_fresh=is_fresh, pool="yard")


def test_a_demanded_shared_camera_of_this_pool_is_connected() -> None:
    target = ask(camera(mask_version=2)).connected["cam/original"]
    assert (target.camera_version, target.pool_version, target.mask_version) == (7, 3, 2)


@pytest.mark.parametrize(
    ("state", "is_fresh", "reason"),
    [
        pytest.param(camera(sharing=SHARING_PAUSED), True, Reason.SHARING_PAUSED, id="paused"),
        pytest.param(camera(sharing=SHARING_STOPPED), True, Reason.SHARING_STOPPED, id="stopped"),
        pytest.param(camera(removed=True), True, Reason.CAMERA_REMOVED, id="removed"),
        pytest.param(camera(masks=[Mask()]), True, Reason.RENDITION_UNAVAILABLE, id="masked"),
        pytest.param(camera(), False, Reason.STATE_NOT_FRESH, id="nobody knows any more"),
        pytest.param(None, True, Reason.CAMERA_UNKNOWN, id="unreadable or never heard of"),
        pytest.param(None, False, Reason.CAMERA_UNKNOWN, id="unknown and not fresh"),
    ],
)
def test_others_are_withheld(state: CameraState | None, is_fresh: bool, reason: Reason) -> None:
    answer = ask(state, is_fresh=is_fresh)
    assert answer.connected == {}
    assert answer.withheld == {"cam/original": reason}


def test_a_sharing_this_version_does_not_know_is_not_on() -> None:
    state = camera()
    state.sharing = SHARING_UNSPECIFIED
    assert ask(state).connected == {}


def test_a_rendition_that_does_not_exist_is_withheld() -> None:
    assert ask(camera(), stream="cam/masked").withheld == {"cam/masked": Reason.RENDITION_UNAVAILABLE}


def test_cameras_of_other_pools_are_not_spoken_of() -> None:
    assert ask(camera(ingest_pool="lake")) == Desired()


def test_without_demand_nothing_is_connected() -> None:
    assert desired([], {"cam": camera()}.get, {"cam"}.__contains__, is_fresh=True, pool="yard") == Desired()


@pytest.mark.parametrize("name", ["", "cam", "cam/", "/original", "cam/original/more", "c m/original"])
def test_what_is_no_stream_is_passed_over(name: str) -> None:
    assert ask(camera(), stream=name) == Desired()


def test_a_camera_of_another_worker_appears_nowhere() -> None:
    assert (
        desired(["cam/original"], {"cam": camera()}.get, set().__contains__, is_fresh=True, pool="yard")
        == Desired()
    )
