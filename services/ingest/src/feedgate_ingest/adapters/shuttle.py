"""Carries what threads have read into the event loop, as much at once as there is."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

PAUSE_S = 0.01
"""Between two rounds while there is traffic; one camera's pictures never wait for it. Waking the loop for
each picture of 20 cameras cost a tenth of all CPU, in threads that wait for one interpreter lock."""

T = TypeVar("T")


class Shuttle(Generic[T]):
    """One for all threads of an event loop; keeps each thread's order."""

    def __init__(self, deliver: Callable[[T], None]) -> None:
        """Args: deliver: called in the loop with each thing put in. It must not raise."""
        self._deliver = deliver
        self._waiting: deque[T] = deque()
        self.is_under_way = False
        self._lock = threading.Lock()

    def put(self, loop: asyncio.AbstractEventLoop, thing: T) -> None:
        """Called by any thread.

        Raises:
            RuntimeError: the loop is closed; the thing is lost.
        """
        with self._lock:
            self._waiting.append(thing)
            if self.is_under_way:
                return
            self.is_under_way = True
        loop.call_soon_threadsafe(self._go_round, loop)

    def _go_round(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if not self._waiting:
                self.is_under_way = False
                return
            # What comes meanwhile waits for the next round: others have their turn in between.
            batch, self._waiting = self._waiting, deque()
        for thing in batch:
            self._deliver(thing)
        loop.call_later(PAUSE_S, self._go_round, loop)
