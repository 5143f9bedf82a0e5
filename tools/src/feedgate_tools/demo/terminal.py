"""The demo's terminal, where its reader may ask for more."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

STANDARD_INPUT: Final = 0


@contextmanager
def on_enter(act: Callable[[], None], terminal: int = STANDARD_INPUT) -> Iterator[bool]:
    """Call `act` whenever Enter is pressed while the block runs; gives whether there is anybody to press it.

    Args:
        act: called in the event loop.
        terminal: a file descriptor; one that is no terminal is left alone.
    """
    if not os.isatty(terminal):
        yield False
        return
    loop = asyncio.get_running_loop()

    def typed() -> None:
        if not _is_in_front(terminal):
            return  # it is meant for the shell, and reading it would stop this process (termios(3))
        line = b""
        with suppress(OSError):
            line = os.read(terminal, 4096)
        if line:
            act()
        else:
            loop.remove_reader(terminal)  # gone

    loop.add_reader(terminal, typed)
    try:
        yield True
    finally:
        loop.remove_reader(terminal)


def _is_in_front(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # not the terminal this process was started in, so no shell's either
