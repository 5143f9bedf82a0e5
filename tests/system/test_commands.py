"""`feedgate migrate`, `topics apply` and `verify-audit` as operations use them: on real servers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from sqlalchemy import insert, text
from sqlalchemy.exc import ProgrammingError

from feedgate_audit.tables import audit_entry
from feedgate_kit.database import Database
from feedgate_kit.topics import expand, load_topics
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import SeparatedDatabase
from tests.system.one_box import FEEDGATE

RUN_TIMEOUT_S = 90.0


def feedgate(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [FEEDGATE, *arguments], capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )
    return done.returncode, done.stdout, done.stderr


async def test_audits_running_role_can_read_and_add_and_nothing_else(
    postgres_roles: Callable[[], SeparatedDatabase],
) -> None:
    database = postgres_roles()
    for _ in range(2):
        assert feedgate(
            "migrate", "audit", "--database-url", database.owner_url, "--running-role", database.running_role
        ) == (0, "audit: migrated\n", "")
    row = dict.fromkeys(("type", "record_id", "event", "owner", "camera_id", "view_id"), "x")
    running = Database(database.running_url)
    async with running.begin() as connection:
        values = {**row, "position": 1, "recorded_at_us": 1, "value": b"", "previous_hash": b"", "hash": b""}
        await connection.execute(insert(audit_entry).values(values))
    for statement in (
        "UPDATE audit_entry SET owner = ''",
        "DELETE FROM audit_entry",
        "DROP TABLE audit_entry",
    ):
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            async with running.begin() as connection:
                await connection.execute(text(statement))
    await running.close()
    status, output, errors = feedgate("verify-audit", "--database-url", database.running_url)
    assert (status, errors) == (1, "")
    assert output == "broken at entry 1: it does not follow from the 0 entries before it\n"


def test_a_role_that_may_not_migrate_is_told_in_one_line(
    postgres_roles: Callable[[], SeparatedDatabase],
) -> None:
    database = postgres_roles()
    status, output, errors = feedgate("migrate", "registry", "--database-url", database.running_url)
    assert (status, output) == (2, "")
    assert errors.startswith("feedgate: registry's database cannot be migrated: ")
    assert "permission denied" in errors
    assert errors.count("\n") == 1


def test_topics_are_made_once_and_a_second_time_nothing_changes(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    agencies = tmp_path / "agencies.yaml"
    agency = {
        "id": "metro-police",
        "name": "Metro Police",
        "jurisdiction": "AR",
        "issuer": "https://id.example.org",
    }
    agencies.write_text(yaml.safe_dump([agency]), encoding="utf-8")
    apply = ("topics", "apply", "--bootstrap", kafka_broker.bootstrap, "--agencies-file", agencies)
    status, output, errors = feedgate(*apply)
    assert (status, errors) == (0, "")
    made = {line.partition(":")[0] for line in output.splitlines()}
    assert made == {topic.name for topic in expand(load_topics(), ["metro-police"])}
    assert "relay.frame.events.v1.metro-police" in made
    assert feedgate(*apply) == (0, "nothing to change\n", "")
    kafka_broker.kill()
    status, output, errors = feedgate(*apply)
    assert (status, output) == (2, "")
    assert errors.startswith(f"feedgate: applying topics to {kafka_broker.bootstrap}: ")
    assert errors.count("\n") == 1
