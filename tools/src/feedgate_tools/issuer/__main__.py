"""Runs the development issuer and prints what services and people need to use it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.server import stop_signals
from feedgate_tools.issuer.server import DevelopmentIssuer


def issue(
    issuers_file: Annotated[
        Path, typer.Option(help="Written: the YAML list that FEEDGATE_…_ISSUERS_FILE names.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 0,
    agency: Annotated[
        str, typer.Option(help="Id of the agency whose people it vouches for.")
    ] = "metro-police",
    lifetime_s: Annotated[int, typer.Option(min=5, help="How long a token lives, in seconds.")] = 300,
) -> None:
    """Run a development OIDC issuer on loopback until interrupted.

    Prints one JSON object per person, with the form that gets their token.
    """
    try:
        asyncio.run(_run(issuers_file, port, agency, lifetime_s))
    except (FeedgateError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(2) from None


async def _run(issuers_file: Path, port: int, agency: str, lifetime_s: int) -> None:
    with stop_signals() as stopped:
        async with DevelopmentIssuer(
            SystemClock(), agency=agency, port=port, lifetime_s=lifetime_s
        ) as issuer:
            _tell(issuer, issuers_file)
            await stopped()


def _tell(issuer: DevelopmentIssuer, issuers_file: Path) -> None:
    issuers = [config.model_dump(mode="json", exclude_none=True) for config in issuer.issuers_config()]
    issuers_file.write_text(yaml.safe_dump(issuers, sort_keys=False), encoding="utf-8")
    for name, person in issuer.persons().items():
        line = {"person": name, "token_url": person.token_url, "form": person.grant}
        sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(issue)
