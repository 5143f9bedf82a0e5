"""Run in a container of the stack: one act of the demo's people, and what came of it as JSON.

`people.py ORIGIN CAST share CAMERA_URL` prints the ids of what is open then, `… withdraw AUTHORISATION` when it is
stopped, `… ticket GRANT` why the operator is given none.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from feedgate_tools.demo.on_stack import load_cast
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import People


async def main(origin: str, cast_file: Path, act: str, about: str) -> Any:
    async with httpx.AsyncClient(base_url=origin, timeout=15.0) as http:
        people = People(http, load_cast(cast_file), agency="metro-police", pool="site")
        if act == "share":
            return asdict(await people.open_share(await people.register_camera(about)))
        if act == "withdraw":
            return (await people.withdraw(about))["stopped_at"]
        try:
            await people.call(people.cast.operator, "POST", f"/access-policy/v1/grants/{about}/tickets")
        except StoryError as refused:
            return str(refused)
        return None


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))))  # noqa: T201
