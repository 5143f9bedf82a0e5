"""Run in a container of the stack: watch until the view ends, and print what was heard last as JSON.

With `--until-watching`, beside one that runs: return when it is given a picture from now on.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from feedgate_client import FeedgateClient, Notice
from feedgate_tools.demo.on_stack import load_cast
from feedgate_tools.demo.story import Cast, People, eventually

WATCHING = Path("/tmp/watching")  # the container's own
WITHIN_S = 60.0
LEDGER_WITHIN_S = 20.0


async def main(origin: str, cast_file: Path, camera: str) -> dict[str, Any]:
    cast = load_cast(cast_file)
    async with httpx.AsyncClient(base_url=origin, timeout=15.0) as http:
        people = People(http, cast, agency="metro-police", pool="site")
        shared = await people.open_share(await people.register_camera(camera))
        heard = await watch(origin, cast, shared.grant_id)
        ledger = await eventually(
            lambda: people.read_ledger(shared.camera_id),
            lambda entries: any(entry["kind"] == "view" and entry["ended_at"] for entry in entries),
            LEDGER_WITHIN_S,
            "the view's end in the ledger",
        )
        return heard | {"in_the_ledger": bool(ledger)}


async def watch(origin: str, cast: Cast, grant_id: str) -> dict[str, Any]:
    last: list[str] = []
    async with FeedgateClient(origin, cast.operator) as client, client.open_view(grant_id) as view:
        async for item in view:
            if isinstance(item, Notice):
                last = [item.code, item.reason]
            else:
                seen()
        return {"last_notice": last, "close_code": view.close_code}


def seen() -> None:
    WATCHING.touch()


def until_watching() -> None:
    WATCHING.unlink(missing_ok=True)
    until_s = time.monotonic() + WITHIN_S
    while not WATCHING.exists():
        if time.monotonic() > until_s:
            raise TimeoutError(f"no picture within {WITHIN_S:g} s")
        time.sleep(0.05)


if __name__ == "__main__":
    if sys.argv[1] == "--until-watching":
        until_watching()
    else:
        print(json.dumps(asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))))  # noqa: T201
