"""Enter in the demo's terminal, heard on a pseudo-terminal."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedgate_tools.demo.terminal import on_enter


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The keyboard's end and the program's."""
    keyboard, program = os.openpty()
    yield keyboard, program
    os.close(keyboard)
    os.close(program)


async def test_every_enter_is_heard_while_the_block_runs(terminal: tuple[int, int]) -> None:
    keyboard, program = terminal
    heard: asyncio.Queue[int] = asyncio.Queue()
    with on_enter(lambda: heard.put_nowait(1), program) as gives_more:
        assert gives_more
        async with asyncio.timeout(10):
            for line in (b"\n", b"another, please\n"):
                os.write(keyboard, line)
                await heard.get()
    assert not asyncio.get_running_loop().remove_reader(program)


def test_what_is_no_terminal_is_left_alone() -> None:
    with Path(os.devnull).open("rb") as nothing, on_enter(lambda: None, nothing.fileno()) as gives_more:
        assert not gives_more
