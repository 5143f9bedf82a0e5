"""What Kafka's errors are told as: the kind once, and what it says."""

import asyncio

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


async def test_a_cancellation_of_the_clients_own_is_an_error_and_ours_is_none() -> None:
    given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    given_up.cancel()
    with pytest.raises(BusError, match="reading: the client gave up by itself"), bus_errors("reading"):
        await given_up

    async def read() -> None:
        with bus_errors("reading"):
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
