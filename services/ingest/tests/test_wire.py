"""Demand is read strictly: what is none goes to the dead letters."""

import pytest

from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_ingest.adapters.wire import decode_demand
from feedgate_kit.bus.record import Record
from feedgate_kit.errors import UnreadableRecordError


def demand(**fields: object) -> bytes:
    message = StreamDemanded(stream="cam/original", relay_id="relay")
    message.demanded_at.FromSeconds(5)
    for name, value in fields.items():
        setattr(message, name, value)
    return message.SerializeToString()


def test_a_demand_is_read() -> None:
    assert decode_demand(Record("cam", demand())).stream == "cam/original"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"\xff", id="no protobuf"),
        pytest.param(b"", id="nothing"),
        pytest.param(demand(stream="cam"), id="no stream"),
        pytest.param(demand(relay_id=""), id="from nobody"),
        pytest.param(
            StreamDemanded(stream="cam/original", relay_id="r").SerializeToString(), id="at no time"
        ),
    ],
)
def test_what_is_no_demand_is_unreadable(value: bytes) -> None:
    with pytest.raises(UnreadableRecordError):
        decode_demand(Record("cam", value))
