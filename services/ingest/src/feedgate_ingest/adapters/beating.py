"""The thread behind a `Pulse`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from feedgate_ingest.arrival import BEAT_S, Pulse


@contextmanager
def beating(pulse: Pulse) -> Iterator[None]:
    """Beat while the block runs. A thread and no task: what starves it starves the readers too."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            pulse.beat()

    pulse.beat()
    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
