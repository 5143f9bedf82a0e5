"""The `feedgate` command. It imports what a command needs when that command runs: `--help` is immediate."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Literal

import typer

from feedgate_kit.errors import FeedgateError

WithDatabase = Literal["registry", "access-policy", "audit"]
"""The services that keep a database; as `service_databases.PACKAGES` has them."""

WithStateTopic = Literal["registry", "access-policy"]
"""The services whose database has a state topic to follow; as `restored.KINDS` has them."""

Rotated = Literal["ticket-key", "source-key", "authority"]
RotationStep = Literal["next", "use", "drop"]
"""As `rotation.Kind` and `rotation.Step` have them."""

WithSettings = Literal["up", "registry", "access-policy", "ingest", "relay", "audit"]
"""As `effective_settings.KINDS` has them."""

app = typer.Typer(
    name="feedgate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Share a private camera with the police for as long as its owner wants, and prove what was shown.",
)
topics_app = typer.Typer(no_args_is_help=True, help="Kafka's topics, as the files in proto/topics say.")
app.add_typer(topics_app, name="topics")


@app.command()
def up(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where everything is kept; made if need be, readable by you alone.",
            show_default="`feedgate` in your data folder",
        ),
    ] = None,
) -> None:
    """Run all services in one process, on files of their own.

    Settings are environment variables that begin with FEEDGATE_UP_. Two have no default:
    FEEDGATE_UP_ISSUERS_FILE, the OIDC issuers to believe, and FEEDGATE_UP_AGENCIES_FILE, the agencies
    owners may name. Listens on 127.0.0.1:8080, and for /metrics and /internal on 127.0.0.1:8081.

    Ends with status 0 when it is told to (SIGTERM, Ctrl-C), with 2 and one line where settings, a
    port or the data folder cannot be used.
    """
    from feedgate.data_folder import default_data_folder
    from feedgate.up import run_one_box

    run_one_box(data or default_data_folder())


@app.command()
def migrate(
    service: Annotated[WithDatabase, typer.Argument(help="Whose database.")],
    database_url: Annotated[
        str,
        typer.Option(
            envvar="FEEDGATE_MIGRATE_DATABASE_URL",
            metavar="URL",
            help="postgresql+asyncpg://OWNER:PASSWORD@HOST/NAME, as the role that owns the tables. "
            "Better in the variable: `ps` shows arguments to everybody.",
        ),
    ],
    running_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="Give this role what the service needs, and nothing more: audit's may only read and add.",
        ),
    ] = None,
) -> None:
    """Bring one service's database to this version's tables.

    Does nothing to a database that is there already. A migration happens whole or not at all.
    """
    from feedgate.service_databases import migrate_service

    asyncio.run(migrate_service(service, database_url, running_role))
    typer.echo(f"{service}: migrated")


@app.command()
def restored(
    service: Annotated[WithStateTopic, typer.Argument(help="Whose database was restored.")],
) -> None:
    """Bring a database that was restored from a backup in front of what its service has said since.

    Run it with the service's own settings, after the restore and before any process of the service starts.
    Whatever was withdrawn, narrowed, paused, removed or closed since the backup is so again in the database;
    what was made since is stopped, for the database does not know it. Each change is put on record.

    Prints how often each happened. Doing it again changes nothing. Status 2 and one line where the service
    still runs, or its topic cannot be read to its end: then nothing was changed.
    """
    from feedgate.restored import restored_service

    # What it cannot do becomes one line of ours.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    events = asyncio.run(restored_service(service))
    for event, times in sorted(events.items()):
        typer.echo(f"{event}: {times}")
    if not events:
        typer.echo("nothing to change")


@app.command(context_settings={"ignore_unknown_options": True})  # a ticket key's name may begin with `-`
def rotate(
    kind: Annotated[Rotated, typer.Argument(help="What the file holds.")],
    step: Annotated[RotationStep, typer.Argument(help="`next`, then `use`, then `drop`.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The keys. Of an authority its certificates, `ca.pem`, with the keys in `ca.key` beside it.",
        ),
    ],
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="The name of the key to `use` or to `drop`, as `next` printed it; left out for `next`.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Do one step of replacing a key: nobody ever meets one that they do not know yet.

    `next` adds a key that is believed and not yet used, `use` puts KEY in use and leaves the last one believed,
    `drop` forgets KEY, which must not be the one in use. A step that was done may be done again: `use` leaves
    all as it is, `next` and `drop` are refused. What has to happen between the steps, and how long to wait, is
    in docs/guide/operations-drills.md.

    Prints the keys' names, the one in use first, never the keys. Status 2 and one line where the step cannot
    be done: then nothing was changed. Where KEY is not in the file, the line names those that are.
    """
    from feedgate.rotation import rotate as rotated

    for line in rotated(kind, step, file, key):
        typer.echo(line)


@app.command()
def reseal(
    pool: Annotated[str, typer.Argument(help="Whose cameras, as registry's pools file names it.")],
    keys: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The pool's private keys, as its ingest workers have them."),
    ],
    database_url: Annotated[
        str,
        typer.Option(
            envvar="FEEDGATE_REGISTRY_DATABASE_URL",
            metavar="URL",
            help="Registry's own. Better in the variable: `ps` shows arguments to everybody.",
        ),
    ],
) -> None:
    """Seal the stored sources of a pool's cameras to the first of its keys, while registry runs.

    Run it where the pool's private keys are: each source lies open for a moment in this command's memory, and
    each is put on record. Doing it again changes nothing.

    Prints how many were sealed anew. Status 1 where some could not be opened with these keys: how many, and
    the key they are sealed to. As long as there are any, the last key must not be dropped.
    """
    from feedgate.resealing import load_pool_keys
    from feedgate.resealing import reseal as resealed

    result = asyncio.run(resealed(database_url, pool, load_pool_keys(keys)))
    typer.echo(f"sealed anew: {result.done}")
    for key_id, count in sorted(result.left.items()):
        typer.echo(f"still sealed to `{key_id}`: {count}")
    if result.left:
        raise typer.Exit(1)


@app.command("check-settings")
def check_settings(
    service: Annotated[
        WithSettings | None,
        typer.Argument(help="Whose settings.", show_default="every one that something is set for"),
    ] = None,
) -> None:
    """Print the settings a service would start with here, and refuse those that are dangerous together.

    A line per setting, with where it came from: the environment, a file in FEEDGATE_SECRETS_DIR, or its
    default. Secrets are shown as ********, addresses without user and password. A service refuses the same
    at its start. Status 2 and a line each on standard error where something is unknown, not allowed or
    dangerous.
    """
    from feedgate.effective_settings import configured, effective
    from feedgate_kit.settings import SettingsError

    wrong: list[str] = []
    for name in [service] if service else configured():
        try:
            lines, dangerous = effective(name)
        except SettingsError as error:
            lines, dangerous = [], [str(error)]
        for line in lines:
            typer.echo(line)
        wrong += dangerous
    if wrong:
        raise SettingsError("\n".join(wrong))


@app.command("verify-audit")
def verify_audit(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The data folder of `feedgate up`, which may be running.",
            show_default="`feedgate` in your data folder",
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="FEEDGATE_AUDIT_DATABASE_URL",
            metavar="URL",
            help="Audit's own database instead, as a role that may read it.",
        ),
    ] = None,
) -> None:
    """Walk the audit chain from its first entry and say whether it is unbroken, and how long.

    An entry that was changed, removed or put in breaks the chain: status 1, and the first such entry.
    Entries cut off from the end leave a shorter unbroken chain; compare the length and the last hash
    with those you wrote down before.
    """
    from feedgate.audit_chain import audit_database_of, verify_chain
    from feedgate.data_folder import default_data_folder

    url = database_url if data is None and database_url else audit_database_of(data or default_data_folder())
    report = asyncio.run(verify_chain(url))
    typer.echo(str(report))
    if not report.is_unbroken:
        raise typer.Exit(1)


@topics_app.command("apply")
def apply(
    bootstrap: Annotated[
        str,
        typer.Option(
            envvar="FEEDGATE_KAFKA_BOOTSTRAP",
            metavar="HOST:PORT",
            help="One or more brokers, separated by commas.",
        ),
    ],
    agencies_file: Annotated[
        Path,
        typer.Option(
            envvar="FEEDGATE_AGENCIES_FILE", metavar="FILE", help="Each agency has a topic of its own."
        ),
    ],
    replication_factor: Annotated[int, typer.Option(min=1, help="Of new topics; 3 in production.")] = 1,
    username: Annotated[
        str | None,
        typer.Option(
            envvar="FEEDGATE_KAFKA_USERNAME",
            metavar="USER",
            help="Kafka's administrator (SASL/SCRAM-SHA-512). With it users' rights are made too.",
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            envvar="FEEDGATE_KAFKA_PASSWORD_FILE",
            metavar="FILE",
            help="The administrator's password; or give the password itself in FEEDGATE_KAFKA_PASSWORD.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            envvar="FEEDGATE_KAFKA_CA_FILE",
            metavar="FILE",
            help="PEM file of the certificates that sign the brokers'. With it, TLS.",
        ),
    ] = None,
    passwords: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder of one file per user, holding the password. Who is new to Kafka gets a file, "
            "unless there is one; a file that was changed is made known to Kafka.",
        ),
    ] = None,
) -> None:
    """Make Kafka's topics, and give those there are the settings of their files.

    In a secured Kafka (--username) each service, and each agency as `agency-<id>`, also gets the
    rights that the topic files give it, and loses all others; who was taken out of the agencies file
    is removed. Users and rights of other names are left alone.

    Prints what it changed, a line each. Doing it again changes nothing.
    """
    from feedgate.kafka_apply import administrator, apply_all
    from feedgate_kit.agencies import load_agencies

    agencies = load_agencies(agencies_file)
    security = administrator(bootstrap, ca_file, username, password_file)
    # What it cannot do becomes one line of ours.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    changes = asyncio.run(
        apply_all(
            bootstrap, list(agencies), security, replication_factor=replication_factor, passwords=passwords
        )
    )
    for line in changes or ["nothing to change"]:
        typer.echo(line)


@app.command("stack-secrets")
def stack_secrets(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Gets a folder per container.")],
    origin: Annotated[str, typer.Option(envvar="PUBLIC_ORIGIN", metavar="URL", help="What browsers see.")],
    issuers_file: Annotated[
        Path, typer.Option(metavar="FILE", help="YAML list of issuers; ${PUBLIC_ORIGIN} is filled in.")
    ],
    agencies_file: Annotated[
        Path, typer.Option(metavar="FILE", help="YAML list of agencies; ${PUBLIC_ORIGIN} is filled in.")
    ],
    pool: Annotated[str, typer.Option(envvar="POOL", help="Name of the ingest pool.")] = "site",
    allowed_network: Annotated[
        list[str] | None,
        typer.Option(envvar="ALLOWED_NETWORKS", metavar="NETWORK", help="Where its cameras are; repeatable."),
    ] = None,
    postgres: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where PostgreSQL is.")
    ] = "postgres:5432",
    further_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A further name in every certificate; repeatable."),
    ] = None,
) -> None:
    """Make the keys, passwords and certificates of a deployment of containers, and hand them out.

    What was made before is kept, so it may run before each start; a certificate whose end is near is made
    anew. Prints each file that is new or changed, never what it holds.
    """
    from feedgate.stack_secrets import Plan, make_stack_secrets

    plan = Plan(
        origin=origin,
        issuers=issuers_file,
        agencies=agencies_file,
        pool=pool,
        allowed_networks=allowed_network or (),
        postgres=postgres,
        further_hosts=further_host or (),
    )
    for line in make_stack_secrets(folder, plan) or ["nothing to change"]:
        typer.echo(line)


def main() -> None:
    """What the script runs. An expected failure is one line per cause, and status 2."""
    # Until a command has something to tidy up, an interrupt just ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for plugin in entry_points(group="feedgate.commands"):
        command: Callable[..., None] = plugin.load()
        app.command(plugin.name)(command)
    try:
        app()
    except FeedgateError as error:
        from feedgate_kit.redaction import redact_text

        sys.stderr.write(f"feedgate: {redact_text(str(error))}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception:
        # Nobody expected it: into the log, not to Python, whose traceback shows what the log leaves out.
        import structlog

        from feedgate_kit.telemetry import configure_logging

        configure_logging()
        logger = structlog.get_logger(__name__)
        logger.exception("feedgate failed")
        sys.exit(1)
