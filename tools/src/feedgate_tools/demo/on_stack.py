"""The story on a deployment that runs already, as people whose tokens its issuers give."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
import yaml

from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.redaction import redact_text
from feedgate_kit.tokens import TokenEndpoint, TokenSource, TokenUnavailableError
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import Cast, Outcome, People, Story
from feedgate_tools.demo.teller import Part, Teller, strong

ROLES: Final = {
    "owner": "owner",
    "operator": "operator",
    "supervisor": "supervisor",
    "developer": "agency-system",
}
"""Whom of the cast file each part is played by."""


class CastError(FeedgateError):
    """The cast file cannot be used; the message never holds what is in it."""


def load_cast(file: Path) -> Cast:
    """Everybody's tokens, of a YAML file that has a `token_url` and the `form` to post there for each.

    Raises:
        CastError: it cannot be read or somebody is missing.
    """
    try:
        people = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CastError(f"--cast: `{file}` cannot be read: {type(error).__name__}") from error
    if not isinstance(people, Mapping):
        raise CastError(f"--cast: `{file}` must hold one entry a person")
    sources = {part: _token_source(people.get(name), name) for part, name in ROLES.items()}
    return Cast(**sources)


def _token_source(person: Any, name: str) -> TokenSource:
    try:
        return TokenEndpoint(person["token_url"], person["form"], SystemClock())
    except (TypeError, KeyError, ValueError) as error:
        raise CastError(f"--cast: `{name}` needs `token_url` and `form`") from error


class _Telling:
    """Tells the steps, and notices when the first picture was there."""

    def __init__(self, teller: Teller, outcome: Outcome) -> None:
        self.teller = teller
        self.outcome = outcome
        self.first_picture_at_s: float | None = None

    def __call__(self, who: str, *parts: Part) -> None:
        if self.first_picture_at_s is None and self.outcome.first_picture_ms is not None:
            self.first_picture_at_s = time.time()
        self.teller.say(who, *parts)


async def play(cast: Cast, *, origin: str, agency: str, pool: str, camera: str, say: _Telling) -> None:
    """Play it to its end.

    Raises:
        StoryError: a step did not happen.
    """
    async with httpx.AsyncClient(base_url=origin, timeout=15.0) as http:
        people = People(http, cast, agency=agency, pool=pool)
        await Story(people, origin, say, say.outcome).play(camera)


def main(
    origin: Annotated[str, typer.Option(metavar="URL", help="What browsers see.")],
    cast: Annotated[
        Path, typer.Option(metavar="FILE", help="YAML: who plays whom, and how they get tokens.")
    ],
    agency: Annotated[str, typer.Option(metavar="ID", help="The operator's agency.")],
    pool: Annotated[str, typer.Option(metavar="NAME", help="The ingest pool that reaches the camera.")],
    camera: Annotated[
        str, typer.Option(envvar="FEEDGATE_DEMO_CAMERA", metavar="RTSP_URL", help="What to share.")
    ],
    since: Annotated[
        str,
        typer.Option(
            envvar="FEEDGATE_STORY_SINCE", metavar="SECONDS", help="When the stack was started, in Unix time."
        ),
    ] = "",
) -> None:
    """Play the story on a running deployment.

    The last line is one JSON object of what was measured, as `feedgate demo --json` has it, and
    `up_to_first_picture_s` if --since is given. Status 0 if every step happened, 1 if one did not,
    2 if it could not begin.
    """
    teller = Teller(time.monotonic())
    telling = _Telling(teller, Outcome())
    try:
        asyncio.run(
            play(load_cast(cast), origin=origin, agency=agency, pool=pool, camera=camera, say=telling)
        )
    except (StoryError, TokenUnavailableError) as error:
        sys.stderr.write(f"the story broke off: {redact_text(str(error))}\n")
        raise typer.Exit(1) from None
    except FeedgateError as error:
        sys.stderr.write(f"{redact_text(str(error))}\n")
        raise typer.Exit(2) from None
    figures: dict[str, Any] = asdict(telling.outcome)
    if since and telling.first_picture_at_s is not None:
        figures["up_to_first_picture_s"] = round(telling.first_picture_at_s - float(since), 1)
        teller.say(
            "feedgate", "from `up` to the first picture: ", strong(f"{figures['up_to_first_picture_s']} s")
        )
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    typer.run(main)
