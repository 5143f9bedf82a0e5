"""What Kafka's errors are told as: the kind once, and what it says."""

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, LeaderNotAvailableError

from feedgate_kit.bus.kafka_connection import bus_errors
from feedgate_kit.errors import BusError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KafkaConnectionError(), "KafkaConnectionError"),
        (KafkaConnectionError("refused"), "KafkaConnectionError: refused"),
        (KafkaTimeoutError(), "KafkaTimeoutError"),
        (LeaderNotAvailableError(), "[Error 5] LeaderNotAvailableError"),
        (TimeoutError(), "TimeoutError"),
        (OSError("no route"), "OSError no route"),
    ],
    ids=repr,
)
def test_an_error_names_its_kind_once(error: Exception, said: str) -> None:
    with pytest.raises(BusError) as raised, bus_errors("connecting"):
        raise error
    assert str(raised.value) == f"connecting: {said}"
