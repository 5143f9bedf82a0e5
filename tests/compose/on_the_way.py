"""Run in a container of the stack: what still reaches a viewer who stalls, through the gateway, after a stop.

Prints one JSON object. The viewer opens a view, reads its first pictures, then takes nothing from the media
socket. The owner withdraws; when the notice is there the viewer drains what is on its way, and counts.
"""

import asyncio
import json
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection as Media
from websockets.sync.client import connect as connect_media
from websockets.typing import Subprotocol

from feedgate_tools.demo.on_stack import load_cast
from feedgate_tools.demo.story import People

PICTURES_BEFORE = 10
STALLED_S = 4.5
"""Long enough to fill every buffer on the way, and short of the 5 s after which the gateway cuts a viewer off."""

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
            path = hello.get("media_path", "/relay/v1/media")
            media = await asyncio.to_thread(open_media, origin, path, hello["media_secret"])
            return await stall(people, shared.authorisation_id, notices, media)


def open_media(origin: str, path: str, secret: str) -> Media:
    """A viewer that holds as little as can be itself, so that what is counted was on the way."""
    at = urlsplit(origin)
    viewer = socket.socket()
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.connect((at.hostname, at.port))
    return connect_media(
        f"{origin.replace('https', 'wss')}{path}",
        sock=viewer,
        ssl=ssl.create_default_context(),
        server_hostname=at.hostname,
        subprotocols=offered(f"media.{secret}"),
        compression=None,
        max_queue=1,
    )


def offered(credential: str) -> list[Subprotocol]:
    return [Subprotocol("feedgate.v1"), Subprotocol(credential)]


async def stall(
    people: People, authorisation_id: str, notices: ClientConnection, media: Media
) -> dict[str, Any]:
    heard = asyncio.create_task(until_stopped(notices))
    for _ in range(PICTURES_BEFORE):
        await asyncio.to_thread(media.recv)
    await asyncio.sleep(STALLED_S)  # the stall itself, not a wait for something
    called_s = time.monotonic()
    await people.withdraw(authorisation_id)
    notice_s = await heard - called_s
    after, size, code = await asyncio.to_thread(drain, media)
    return {
        "withdrawal_to_notice_ms": round(1_000 * notice_s, 1),
        "pictures_after_notice": after,
        "bytes_after_notice": size,
        "withdrawal_to_close_ms": round(1_000 * (time.monotonic() - called_s), 1),
        "close_code": code,
    }


def drain(media: Media) -> tuple[int, int, int]:
    """What still came: messages, bytes, and the close code."""
    after, size = 0, 0
    try:
        while True:
            message = media.recv(timeout=DRAIN_WITHIN_S)
            after += 1
            size += len(message)
    except ConnectionClosed as closed:
        return after, size, closed.rcvd.code if closed.rcvd else 1006


async def until_stopped(notices: ClientConnection) -> float:
    async for text in notices:
        if json.loads(text).get("code") == "stopped":
            return time.monotonic()
    raise RuntimeError("the notices ended without `stopped`")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))))  # noqa: T201
