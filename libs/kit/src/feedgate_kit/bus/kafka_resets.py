"""aiokafka on uvloop: what happens to a request on a connection that broke a moment ago.

aiokafka hears of it two turns of the event loop later and writes meanwhile. asyncio then drops what is written; uvloop
raises `RuntimeError`, and aiokafka is ready for `OSError` only (its issue 1038). Where that hit the task that keeps a
client's metadata, the task was gone without a word, and whoever waited for news of the cluster waited for ever.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_ask = AIOKafkaConnection.send


def answer_resets() -> None:
    """Make every connection of this process answer what aiokafka is ready for; may be called again."""
    AIOKafkaConnection.send = _send


def _send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    if self._writer is not None and self._writer.is_closing():
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} is closed")
    return _ask(self, request, expect_response)
