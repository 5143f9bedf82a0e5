"""Threads hand over in order and nothing is left behind."""

import asyncio
import threading

from feedgate_ingest.adapters.shuttle import Shuttle

THREADS, THINGS = 4, 500


async def test_everything_arrives_in_each_threads_order() -> None:
    loop = asyncio.get_running_loop()
    delivered: list[tuple[int, int]] = []
    all_there = asyncio.Event()

    def deliver(thing: tuple[int, int]) -> None:
        delivered.append(thing)
        if len(delivered) == THREADS * THINGS:
            all_there.set()

    shuttle = Shuttle(deliver)

    def put(number: int) -> None:
        for count in range(THINGS):
            shuttle.put(loop, (number, count))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    await all_there.wait()
    for thread in threads:
        thread.join()
    for number in range(THREADS):
        assert [count for each, count in delivered if each == number] == list(range(THINGS))


async def test_a_quiet_shuttle_is_woken_again() -> None:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    shuttle: Shuttle[int] = Shuttle(lambda _: arrived.set())
    for _ in range(3):
        shuttle.put(loop, 1)
        await arrived.wait()
        arrived.clear()
        # Let the round that finds nothing put it to rest.
        while shuttle.is_under_way:  # noqa: ASYNC110 - it rests without telling anybody
            await asyncio.sleep(0)
