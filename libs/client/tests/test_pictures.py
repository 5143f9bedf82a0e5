"""Pictures and the frame events that vouch for them."""

import pytest

from feedgate_client import ClientError, matches
from feedgate_client.pictures import sample_of, split_message
from feedgate_contracts.digest import GENESIS, picture_digest
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent, GroupOfPictures
from feedgate_contracts.frame.v1.frame_pb2 import Picture as PictureRecord
from libs.client.tests.scripted_relay import box, picture, sample

RUN = bytes(range(16))
FIRST = 2**32 - 1  # the wire counts modulo 2^32, the events do not


def event_of(sequences: range) -> FrameEvent:
    group = GroupOfPictures(run=RUN, previous_digest=GENESIS)
    previous = GENESIS
    for sequence in sequences:
        record = PictureRecord(sequence=sequence, dts=sequence * 3600, received_at_us=1_000 + sequence)
        record.digest = previous = picture_digest(
            previous=previous,
            stream="camera/original",
            run=RUN,
            sequence=sequence,
            dts=record.dts,
            received_at_us=record.received_at_us,
            mask_version=0,
            sample=sample(sequence),
        )
        group.pictures.append(record)
    return FrameEvent(stream="camera/original", group_of_pictures=group)


def test_every_picture_of_a_group_is_vouched_for() -> None:
    event = event_of(range(FIRST, FIRST + 4))
    assert all(matches(sample(number), number % 2**32, event) for number in range(FIRST, FIRST + 4))


def test_an_edited_picture_is_not() -> None:
    event = event_of(range(FIRST, FIRST + 4))
    assert not matches(sample(FIRST) + b"!", FIRST % 2**32, event)


def test_another_groups_picture_is_not() -> None:
    assert not matches(sample(9), 9, event_of(range(4)))


def test_a_record_that_was_moved_breaks_the_chain_behind_it() -> None:
    event = event_of(range(4))
    del event.group_of_pictures.pictures[1]
    assert matches(sample(0), 0, event)
    assert not matches(sample(2), 2, event)
    assert not matches(sample(3), 3, event)


def test_another_stream_or_run_is_not_vouched_for() -> None:
    event = event_of(range(4))
    event.stream = "other/original"
    assert not matches(sample(0), 0, event)
    event = event_of(range(4))
    event.group_of_pictures.run = RUN[::-1]
    assert not matches(sample(0), 0, event)


def test_a_notice_vouches_for_nothing() -> None:
    assert not matches(sample(0), 0, FrameEvent(stream="camera/original"))


def test_a_message_is_split_into_header_and_boxes() -> None:
    kind, flags, sequence, _, body = split_message(picture(7, flags=1))
    assert (kind, flags, sequence) == (2, 1, 7)
    assert sample_of(body) == sample(7)


@pytest.mark.parametrize(
    "fragment",
    [
        b"",
        b"moof",
        box(b"moof", b""),
        box(b"moof", b"")[:-1] + b"!",
        (4).to_bytes(4, "big") + b"mdat",
        b"\xff" * 9,
    ],
)
def test_a_fragment_without_a_whole_sample_is_refused(fragment: bytes) -> None:
    with pytest.raises(ClientError):
        sample_of(fragment)


def test_a_message_shorter_than_its_header_is_refused() -> None:
    with pytest.raises(ClientError, match="15 bytes"):
        split_message(bytes(15))
