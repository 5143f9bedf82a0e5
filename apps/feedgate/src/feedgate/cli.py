"""The `feedgate` command."""

import asyncio
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from feedgate.composition import PACKAGES, one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import load_agencies
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.migration import grant_running_rights
from feedgate_kit.migration import migrate as migrate_database
from feedgate_kit.server import serve
from feedgate_kit.settings import load_settings
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.topics import apply_topics, load_topics

ALL_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
RUNNING_RIGHTS = {"audit": ("SELECT", "INSERT")}
"""What a service's running role may do with its tables: audit can neither change nor remove an entry."""

app = typer.Typer(
    name="feedgate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Share a private camera with the police for as long as its owner wants, and prove what was shown.",
)
topics_app = typer.Typer(no_args_is_help=True, help="Kafka topics as their files say.")
app.add_typer(topics_app, name="topics")


@app.command()
def up(
    data: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept.", show_default="feedgate in the user's data folder"),
    ] = None,
) -> None:
    """Run all services in one process on files of their own.

    Settings are environment variables that begin with FEEDGATE_UP_; an OIDC
    issuer and a list of agencies are needed.
    """
    settings = load_settings(UpSettings)
    issuers, agencies = settings.load_issuers(), settings.load_agencies()
    configure_logging(settings.log_level)

    async def run() -> None:
        clock = SystemClock()
        with open_data_folder(data or default_data_folder()) as folder:
            async with one_box(folder, settings, issuers=issuers, agencies=agencies, clock=clock) as box:
                await serve(
                    box, settings.public_listen, settings.internal_listen, shutdown_s=settings.shutdown_s
                )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@app.command()
def migrate(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(PACKAGES)}.")],
    database_url: Annotated[
        str, typer.Option(envvar="FEEDGATE_MIGRATE_DATABASE_URL", help="As the role that owns the tables.")
    ],
    running_role: Annotated[
        str | None, typer.Option(help="Grant this role what the service needs, and nothing more.")
    ] = None,
) -> None:
    """Bring one service's database to this version's tables."""
    if service not in PACKAGES:
        raise typer.BadParameter(f"`{service}`; allowed: {', '.join(PACKAGES)}", param_hint="SERVICE")

    async def run() -> None:
        database = Database(database_url)
        try:
            await migrate_database(database, PACKAGES[service])
            if running_role is not None:
                await grant_running_rights(database, running_role, RUNNING_RIGHTS.get(service, ALL_RIGHTS))
        finally:
            await database.close()

    asyncio.run(run())
    typer.echo(f"{service}: migrated")


@topics_app.command("apply")
def apply(
    bootstrap: Annotated[str, typer.Option(envvar="FEEDGATE_KAFKA_BOOTSTRAP", help="Brokers, `host:port`.")],
    agencies_file: Annotated[
        Path, typer.Option(envvar="FEEDGATE_AGENCIES_FILE", help="Each agency has a topic of its own.")
    ],
    replication_factor: Annotated[int, typer.Option(min=1, help="3 in production.")] = 1,
) -> None:
    """Make Kafka's topics and their settings as the topic files say."""
    agencies = load_agencies(agencies_file)
    for line in asyncio.run(
        apply_topics(bootstrap, load_topics(), agencies, replication_factor=replication_factor)
    ):
        typer.echo(line)


def default_data_folder() -> Path:
    """`feedgate` in the user's data folder (XDG Base Directory Specification)."""
    return Path(typer.get_app_dir("feedgate"))


def main() -> None:
    """What the command runs: an expected failure is one line, and exit status 2."""
    for plugin in entry_points(group="feedgate.commands"):
        command: Callable[..., None] = plugin.load()
        app.command(plugin.name)(command)
    try:
        app()
    except FeedgateError as error:
        sys.stderr.write(f"feedgate: {error}\n")
        sys.exit(2)
