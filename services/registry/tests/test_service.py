"""The whole service: publisher, feed follower, expiry and readiness in its lifespan."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr, ValidationError
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.engine.interfaces import CacheStats

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_contracts.feed.v1 import feed_pb2 as feed_pb
from feedgate_kit.bus.record import HEARTBEAT_KEY, Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.database_watch import DatabaseWatch
from feedgate_kit.migration import NewerSchemaError, migrate, schema_of
from feedgate_kit.sealing import public_key_text
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.topics import FEED_STATE
from feedgate_registry.__main__ import build
from feedgate_registry.app import PACKAGE
from feedgate_registry.settings import RegistrySettings
from feedgate_registry.tables import METADATA

from .conftest import HASH_KEY, SITE_KEY, Stand, authorised, registered


async def test_what_was_committed_reaches_the_topics_in_order_and_only_then_a_heartbeat(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    async with stand.service.lifespan():
        await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
        await stand.published()
    records = await stand.state_topic()
    of_camera = [record for record in records if record.key == camera["id"]]
    versions = [camera_pb.CameraState.FromString(record.value).version for record in of_camera]
    assert versions == sorted(versions)
    assert versions[-1] == 3
    assert of_camera[-1].headers["version"] == "3"
    assert of_camera[-1].headers["ce_source"] == "registry"
    assert records[-1].key == HEARTBEAT_KEY
    audited = [record.headers["ce_type"] for record in await stand.audit_topic()]
    assert audited == ["feedgate.audit.v1.AuditRecord"] * 4


async def test_it_says_at_its_start_which_key_each_pools_sources_are_sealed_to(stand: Stand) -> None:
    with structlog.testing.capture_logs() as logged:
        async with stand.service.lifespan():
            await stand.published()
    [said] = [line["key_ids"] for line in logged if line["event"] == "sources are sealed to"]
    assert said == {"site": "site-key-1", "depot": "depot-key-1"}


async def test_readiness_says_what_it_waits_for(stand: Stand) -> None:
    measured = stand.service.registry.get_sample_value
    http = await stand.nobody()
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["waiting_for"] == [
        "database",
        "the database at this version's revision",
    ]
    async with stand.service.lifespan():
        await stand.published()
        await stand.until_answered(http, "/readyz", lambda answer: answer["ready"])
        assert (await http.get("/readyz")).status_code == 200
        await stand.until_answered(http, "/readyz", lambda _: measured("registry_publisher_active") == 1)
    assert measured("registry_publisher_active") == 0
    assert (measured("registry_publisher_terms_total") or 0) >= 1
    assert (await http.get("/healthz")).status_code == 200


async def test_a_database_of_another_revision_is_not_ready(stand: Stand) -> None:
    watch = DatabaseWatch(stand.database, PACKAGE, interval_s=1)
    await watch.ask()
    assert (watch.answers, watch.is_migrated) == (True, True)
    async with stand.database.begin() as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
    await watch.ask()
    assert (watch.answers, watch.is_migrated) == (True, False)


async def test_asking_for_the_revision_again_is_no_new_statement(stand: Stand) -> None:
    """Each new one is kept: 500 of them are 10 MiB."""
    watch = DatabaseWatch(stand.database, PACKAGE, interval_s=1)
    await watch.ask()
    seen: list[CacheStats] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments[4].cache_hit)

    event.listen(stand.database.engine.sync_engine, "before_cursor_execute", note)
    await watch.ask()
    assert CacheStats.CACHE_MISS not in seen
    assert CacheStats.CACHE_HIT in seen


async def test_a_running_service_goes_on_beside_a_later_version_that_migrates(stand: Stand) -> None:
    watch, late = (DatabaseWatch(stand.database, PACKAGE, interval_s=1) for _ in range(2))
    await watch.ask()
    async with stand.database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999_later'"))
        await connection.execute(text("UPDATE schema_compatibility SET oldest_revision = '9999_later'"))
    await watch.ask()
    await late.ask()
    assert (watch.is_migrated, late.is_migrated) == (True, False)
    with pytest.raises(NewerSchemaError, match="9999_later"):
        await late.refuse_newer()


async def test_a_later_versions_tables_that_this_one_can_run_on_are_no_hindrance(stand: Stand) -> None:
    async with stand.database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999_later'"))
    late = DatabaseWatch(stand.database, PACKAGE, interval_s=1)
    await late.refuse_newer()
    await late.ask()
    assert late.is_migrated
    await migrate(stand.database, PACKAGE)  # leaves them alone
    assert await schema_of(stand.database, PACKAGE) == "expanded"
    async with stand.database.begin() as connection:
        await connection.execute(text("DROP TABLE schema_compatibility"))
    assert await schema_of(stand.database, PACKAGE) == "newer"


async def test_the_migrations_make_the_tables_the_code_uses(stand: Stand) -> None:
    def columns(connection: Connection) -> dict[str, dict[str, bool]]:
        inspector = inspect(connection)
        return {
            table: {str(column["name"]): bool(column["nullable"]) for column in inspector.get_columns(table)}
            for table in inspector.get_table_names()
            if table not in {"alembic_version", "schema_compatibility"}
        }

    def indexes(connection: Connection) -> set[str | None]:
        inspector = inspect(connection)
        return {
            index["name"] for table in inspector.get_table_names() for index in inspector.get_indexes(table)
        }

    async with stand.database.read() as connection:
        made = await connection.run_sync(columns)
        indexed = await connection.run_sync(indexes)
    assert made == {
        table.name: {column.name: bool(column.nullable) for column in table.columns}
        for table in METADATA.sorted_tables
    }
    assert {str(index.name) for table in METADATA.sorted_tables for index in table.indexes} <= indexed


async def test_an_expired_authorisation_leaves_the_record_by_itself(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    expires_at = stand.clock.text(seconds=10)
    given = [await authorised(ana, camera["id"], expires_at=expires_at) for _ in range(2)]
    lasting = await authorised(ana, camera["id"])
    stand.clock.advance(9)
    async with stand.service.lifespan():
        await stand.published()
        assert (await stand.state(camera["id"])).version == 4
        stand.clock.advance(1)
        await stand.until_in_topic(lambda record: record.headers.get("version") == "5")
        await stand.published()
    state = await stand.state(camera["id"])
    assert [terms.authorisation_id for terms in state.terms] == [lasting["id"]]
    assert state.version == 5
    for one in given:
        read = (await ana.get(f"/registry/v1/authorisations/{one['id']}")).json()
        assert (read["state"], read["version"], read["ended_at"]) == ("expired", 2, expires_at)
    told = [record for record in await stand.audit_messages() if record.event == "authorisation.expired"]
    assert {record.authorisation_id for record in told} == {one["id"] for one in given}
    assert {record.actor.role for record in told} == {"system"}
    page = (await (await stand.nobody(internal=True)).get("/metrics")).text
    assert 'registry_authorisations_expired_total{service="registry"} 2.0' in page


async def test_an_authorisation_past_its_expiry_counts_for_nothing_before_it_is_on_record(
    stand: Stand,
) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    await authorised(ana, camera["id"], expires_at=stand.clock.text(seconds=10))
    stand.clock.advance(10)
    assert (await ana.get(f"/registry/v1/cameras/{camera['id']}")).json()["sharing"] == "stopped"
    (listed,) = (await ana.get("/registry/v1/cameras")).json()["items"]
    assert listed["sharing"] == "stopped"
    (given,) = (await ana.get(f"/registry/v1/cameras/{camera['id']}/authorisations")).json()["items"]
    assert given["state"] == "expired"


def feed_record(camera_id: str, phase: feed_pb.FeedPhase, **fields: str | int) -> Record:
    stream = f"{camera_id}/original"
    state = feed_pb.FeedState(stream=stream, phase=phase, **fields)  # type: ignore[arg-type]
    state.changed_at.FromJsonString("2026-11-18T12:02:03Z")
    return Record(stream, state.SerializeToString())


async def test_an_owner_sees_how_the_feed_fares(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    other = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    log = stand.bus.state_log(FEED_STATE)
    await log.append(
        feed_record(camera["id"], feed_pb.FEED_PHASE_LIVE, codec="avc1.640028", width=1920, height=1080)
    )
    async with stand.service.lifespan():
        await stand.until_answered(ana, url, lambda camera: camera["feed"]["phase"] == "live")
        feed = (await ana.get(url)).json()["feed"]
        assert feed == {
            "phase": "live",
            "reason": None,
            "detail": None,
            "codec": "avc1.640028",
            "width": 1920,
            "height": 1080,
            "changed_at": "2026-11-18T12:02:03Z",
        }
        assert (await ana.get(f"/registry/v1/cameras/{other['id']}")).json()["feed"]["phase"] == "idle"
        await log.append(
            feed_record(
                camera["id"], feed_pb.FEED_PHASE_REFUSED, reason="wrong_password", detail="the camera says no"
            )
        )
        await stand.until_answered(ana, url, lambda camera: camera["feed"]["phase"] == "refused")
        feed = (await ana.get(url)).json()["feed"]
        assert (feed["reason"], feed["detail"], feed["codec"]) == (
            "wrong_password",
            "the camera says no",
            None,
        )
        (listed, _) = (await ana.get("/registry/v1/cameras")).json()["items"]
        assert listed["feed"] == feed


async def test_a_feed_record_that_does_not_parse_is_unknown_and_never_as_it_was(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    other = await registered(ana)
    log = stand.bus.state_log(FEED_STATE)
    await log.append(feed_record(camera["id"], feed_pb.FEED_PHASE_LIVE))
    await log.append(Record(f"{camera['id']}/original", b"\xff\xff\xff no protobuf"))
    await log.append(feed_record(other["id"], feed_pb.FEED_PHASE_CONNECTING))
    async with stand.service.lifespan():
        url = f"/registry/v1/cameras/{other['id']}"
        await stand.until_answered(ana, url, lambda camera: camera["feed"]["phase"] == "connecting")
        read = (await ana.get(f"/registry/v1/cameras/{camera['id']}")).json()
        assert read["feed"]["phase"] == "unknown"
    page = (await (await stand.nobody(internal=True)).get("/metrics")).text
    assert 'registry_feed_records_unreadable_total{service="registry"} 1.0' in page


async def test_a_registry_that_starts_anew_publishes_what_its_predecessor_committed(
    make_stand: Callable[[], Stand],
) -> None:
    before = make_stand()
    ana = await before.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    async with before.service.lifespan():
        await before.published()
    await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
    after = make_stand()
    async with after.service.lifespan():
        await after.published()
    last = [record for record in await after.state_topic() if record.key == camera["id"]][-1]
    assert camera_pb.CameraState.FromString(last.value).sharing == camera_pb.SHARING_STOPPED


async def test_the_metrics_name_no_camera_owner_or_agency(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    async with stand.service.lifespan():
        for _ in range(2):  # the second time nothing changes, and nothing is counted
            await ana.post(f"/registry/v1/cameras/{camera['id']}/pause")
            await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
            await ana.post(f"/registry/v1/cameras/{camera['id']}/resume")
        same = {"name": camera["name"]}
        await ana.patch(f"/registry/v1/cameras/{camera['id']}", json=same, headers={"If-Match": "*"})
        await stand.published()
    page = (await (await stand.nobody(internal=True)).get("/metrics")).text
    for expected in (
        'registry_owner_acts_total{act="register",service="registry"} 1.0',
        'registry_owner_acts_total{act="pause",service="registry"} 2.0',
        'registry_owner_acts_total{act="withdraw",service="registry"} 1.0',
        'registry_owner_acts_total{act="resume",service="registry"} 2.0',
        'registry_owner_acts_total{act="authorise",service="registry"} 1.0',
        'registry_stop_duration_seconds_count{service="registry"} 4.0',
        "registry_heartbeat_timestamp_seconds",
        "registry_state_records_published_total",
    ):
        assert expected in page
    assert 'act="change"' not in page
    for name in (camera["id"], given["id"], stand.key_of("ana"), "policia"):
        assert name not in page


async def test_it_is_built_from_settings_alone(tmp_path: Path) -> None:
    issuer = LocalIssuer.generate("https://owners.example", SystemClock(), realm="owners")
    files = {
        "pools": [
            {
                "name": "site",
                "key_id": "k1",
                "public_key": public_key_text(SITE_KEY.public_key()),
                "allowed_networks": [],
            }
        ],
        "agencies": [
            {"id": "norte", "name": "Norte", "jurisdiction": "AR-B", "issuer": "https://norte.example"}
        ],
        "issuers": [
            {
                "issuer": "https://owners.example",
                "realm": "owners",
                "audience": "feedgate",
                "jwks": issuer.jwks,
            }
        ],
    }
    for name, entries in files.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(entries))
    service = build(
        RegistrySettings(
            owner_hash_key=SecretStr(HASH_KEY),
            pools_file=tmp_path / "pools.yaml",
            agencies_file=tmp_path / "agencies.yaml",
            issuers_file=tmp_path / "issuers.yaml",
            database_url=SecretStr(f"sqlite+aiosqlite:///{tmp_path / 'registry.sqlite'}"),
        )
    )
    assert service.name == "registry"
    assert service.readiness.waiting_for()


@pytest.mark.parametrize(
    "wrong",
    [{"owner_hash_key": "short"}, {"own_networks": ("10.0.0.1/8",)}, {"expiry_interval_s": 0}],
)
def test_a_setting_nobody_can_run_with_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"owner_hash_key": HASH_KEY, "pools_file": tmp_path / "pools.yaml"}
    assert RegistrySettings(**usual)
    with pytest.raises(ValidationError) as refused:
        RegistrySettings(**usual | wrong)
    assert HASH_KEY not in str(refused.value)
