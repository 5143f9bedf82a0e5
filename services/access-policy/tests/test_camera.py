import math

import pytest

from feedgate_access_policy.camera import camera_of, read_state
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_kit.errors import UnreadableRecordError


def state(**different: object) -> camera_pb2.CameraState:
    fields: dict[str, object] = {"camera_id": "c", "version": 1, "sharing": camera_pb2.SHARING_ON}
    return camera_pb2.CameraState(**fields | different)  # type: ignore[arg-type]  # fields by name


def test_a_record_is_read_whole() -> None:
    terms = camera_pb2.Terms(
        authorisation_id="a",
        agencies=["x"],
        purposes=["investigate"],
        renditions=["original"],
        schedule=camera_pb2.WeeklySchedule(
            time_zone="UTC", windows=[camera_pb2.WeeklyWindow(weekday=1, from_minute=0, until_minute=60)]
        ),
    )
    camera = camera_of(read_state(state(terms=[terms], jurisdiction="AR").SerializeToString()))
    assert camera.sharing == "on"
    assert camera.jurisdiction == "AR"
    assert camera.terms[0].agencies == {"x"}
    assert camera.terms[0].schedule is not None
    assert camera.terms[0].schedule.windows[0].until_minute == 60


def test_terms_without_a_schedule_hold_always() -> None:
    camera = camera_of(read_state(state(terms=[camera_pb2.Terms(authorisation_id="a")]).SerializeToString()))
    assert camera.terms[0].schedule is None


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff\xff",
        state(camera_id="").SerializeToString(),
        state(sharing=camera_pb2.SHARING_UNSPECIFIED).SerializeToString(),
        state(sharing=17).SerializeToString(),
        state(place=camera_pb2.Place(longitude=math.nan)).SerializeToString(),
        state(place=camera_pb2.Place(latitude=90.01)).SerializeToString(),
    ],
    ids=["no protobuf", "no id", "no sharing", "a sharing of the future", "no number", "off the earth"],
)
def test_what_cannot_be_understood_is_unreadable(value: bytes) -> None:
    with pytest.raises(UnreadableRecordError):
        read_state(value)
