import pytest

from bench.under_test.parcels import ParcelReader, pack
from feedgate_kit.bus.record import Record

RECORDS = [
    ("registry.camera.state.v1", Record("camera", b"\x00\xff" * 100, {"version": "3"})),
    ("ingest.access-unit.media.v1", Record("camera/original", b"", {})),
]


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_records_arrive_as_they_were_sent(piece: int) -> None:
    data = b"".join(pack(topic, record) for topic, record in RECORDS)
    reader = ParcelReader()
    arrived = [parcel for at in range(0, len(data), piece) for parcel in reader.feed(data[at : at + piece])]
    assert arrived == RECORDS
