"""Run in a container of the stack: what still reaches a viewer who stalls, through the gateway, after a stop.

Prints one JSON object. The viewer opens a view, reads its first pictures, then takes nothing from the media
socket. The owner withdraws; when the notice is there the viewer drains what is on its way, and counts.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from feedgate_tools.demo.on_stack import load_cast
from feedgate_tools.demo.story import People

PICTURES_BEFORE = 10
STALLED_S = 3.0
"""Long enough to fill every buffer on the way: the relay drops to the next keyframe after 500 ms."""

DRAIN_WITHIN_S = 20.0


async def main(origin: str, cast_file: Path, camera: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=origin, timeout=15.0) as http:
        people = People(http, load_cast(cast_file), agency="metro-police", pool="site")
        shared = await people.open_share(await people.register_camera(camera))
        ticket = await people.call(
            people.cast.operator, "POST", f"/access-policy/v1/grants/{shared.grant_id}/tickets"
        )
        relay = origin.replace("https", "wss")
        async with connect(
            f"{relay}/relay/v1/notices", subprotocols=offered(f"ticket.{ticket['ticket']}")
        ) as notices:
            hello = json.loads(await notices.recv())
            async with connect(
                relay + hello.get("media_path", "/relay/v1/media"),
                subprotocols=offered(f"media.{hello['media_secret']}"),
                max_queue=1,
                compression=None,
            ) as media:
                return await stall(people, shared.authorisation_id, notices, media)


def offered(credential: str) -> list[Subprotocol]:
    return [Subprotocol("feedgate.v1"), Subprotocol(credential)]


async def stall(
    people: People, authorisation_id: str, notices: ClientConnection, media: ClientConnection
) -> dict[str, Any]:
    heard = asyncio.create_task(until_stopped(notices))
    before = 0
    while before < PICTURES_BEFORE:
        await media.recv()
        before += 1
    media.transport.pause_reading()
    await asyncio.sleep(STALLED_S)  # the stall itself, not a wait for something
    called_s = time.monotonic()
    await people.withdraw(authorisation_id)
    notice_s = await heard - called_s
    media.transport.resume_reading()
    after, size = 0, 0
    try:
        async with asyncio.timeout(DRAIN_WITHIN_S):
            while True:
                message = await media.recv()
                after += 1
                size += len(message)
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 1006
    return {
        "withdrawal_to_notice_ms": round(1_000 * notice_s, 1),
        "pictures_after_notice": after,
        "bytes_after_notice": size,
        "withdrawal_to_close_ms": round(1_000 * (time.monotonic() - called_s), 1),
        "close_code": code,
    }


async def until_stopped(notices: ClientConnection) -> float:
    async for text in notices:
        if json.loads(text).get("code") == "stopped":
            return time.monotonic()
    raise RuntimeError("the notices ended without `stopped`")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))))  # noqa: T201
