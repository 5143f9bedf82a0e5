from collections.abc import Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from feedgate_audit.chain import first_break
from feedgate_audit.collector import Collector, lag_s
from feedgate_audit.facts import fact_of
from feedgate_audit.metrics import AuditMetrics
from feedgate_audit.store import AuditStore
from feedgate_contracts.audit.v1.audit_pb2 import Actor, AuditRecord, Outcome
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.database import Database
from feedgate_kit.errors import UnreadableRecordError
from feedgate_kit.ids import new_id
from feedgate_kit.stepped_clock import SteppedClock

from .conftest import AUDIT_TOPIC, Records, record_of

Http = Callable[[str], httpx.AsyncClient]


@pytest.fixture
def store(database: Database, clock: SteppedClock) -> AuditStore:
    return AuditStore(database, clock)


async def keep(store: AuditStore, clock: SteppedClock, *messages: AuditRecord) -> None:
    await store.append([fact_of(record_of(message, clock)) for message in messages])


async def test_a_view_tells_who_looked_when_why_and_how_many_pictures(
    store: AuditStore, clock: SteppedClock, records: Records, http_of: Http
) -> None:
    view = new_id()
    await keep(
        store,
        clock,
        records.view_started(view),
        records.view_usage(view, 250),
        records.view_ended(view, 301, "authorisation_withdrawn"),
        records.make("view.dark", view_id=view, dark_ms=41, reason="paused_by_owner"),
        records.make("view.dark", view_id=view, dark_ms=27, reason="stopped"),
    )
    async with http_of("ana") as http:
        page = (await http.get("/audit/v1/ledger")).json()
    assert len(page["items"]) == 1
    entry = page["items"][0]
    assert entry["agency"] == "policia-norte"
    assert entry["viewer"] == "op-0123456789abcdef"
    assert entry["purpose"] == "investigate"
    assert entry["basis_codes"] == ["AR.25326.5-2-b", "AR.25326.23-2"]
    assert entry["pictures"] == 301
    assert entry["ended_reason"] == "authorisation_withdrawn"
    assert entry["dark_at"] is not None
    assert entry["dark_ms"] == 27


async def test_the_case_number_never_reaches_the_owner(
    store: AuditStore, clock: SteppedClock, records: Records, http_of: Http
) -> None:
    await keep(store, clock, records.view_started(new_id()))
    async with http_of("ana") as http:
        assert "IPP-01" not in (await http.get("/audit/v1/ledger")).text


async def test_another_owner_sees_nothing_of_it(
    store: AuditStore, clock: SteppedClock, records: Records, http_of: Http
) -> None:
    await keep(store, clock, records.view_started(new_id()))
    async with http_of("berta") as http:
        assert (await http.get("/audit/v1/ledger")).json()["items"] == []
        of_camera = await http.get("/audit/v1/ledger", params={"camera_id": records.camera_id})
        assert of_camera.json()["items"] == []


async def test_counts_read_out_of_order_do_not_go_back(
    store: AuditStore, clock: SteppedClock, records: Records, http_of: Http
) -> None:
    view = new_id()
    started, later, earlier = (
        records.view_started(view),
        records.view_usage(view, 500),
        records.view_usage(view, 250),
    )
    await keep(store, clock, started, later, earlier)
    async with http_of("ana") as http:
        assert (await http.get("/audit/v1/ledger")).json()["items"][0]["pictures"] == 500


async def test_a_refused_attempt_is_told_with_its_reasons(
    store: AuditStore, clock: SteppedClock, records: Records, http_of: Http
) -> None:
    refused = records.make(
        "ticket.refused",
        actor=Actor(pseudonym="op-1", agency="policia-norte", role="operator"),
        outcome=Outcome(permitted=False, reasons=["authorisation_inactive"]),
    )
    await keep(store, clock, refused)
    async with http_of("ana") as http:
        entry = (await http.get("/audit/v1/ledger")).json()["items"][0]
    assert (entry["event"], entry["permitted"], entry["reasons"]) == (
        "ticket.refused",
        False,
        ["authorisation_inactive"],
    )


async def test_pages_follow_each_other_newest_first(
    store: AuditStore, clock: SteppedClock, records: Records, http_of: Http
) -> None:
    views = [new_id() for _ in range(5)]
    await keep(store, clock, *(records.view_started(view) for view in views))
    seen: list[str] = []
    after: str | None = None
    async with http_of("ana") as http:
        while True:
            params = {"limit": "2"} | ({"after": after} if after else {})
            page = (await http.get("/audit/v1/ledger", params=params)).json()
            seen += [entry["view_id"] for entry in page["items"]]
            after = page["next"]
            if after is None:
                break
        whole = (await http.get("/audit/v1/ledger", params={"limit": "5"})).json()
    assert seen == views[::-1]
    assert (len(whole["items"]), whole["next"]) == (5, None)


async def test_without_a_token_nothing_is_told(http_of: Http) -> None:
    async with http_of("ana") as http:
        answer = await http.get("/audit/v1/ledger", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_fact_that_comes_again_is_kept_once(
    store: AuditStore, clock: SteppedClock, records: Records
) -> None:
    fact = fact_of(record_of(records.view_started(new_id()), clock))
    assert await store.append([fact, fact]) == [fact]
    assert await store.append([fact]) == []
    assert first_break([entry async for entry in store.entries()]) is None


async def test_an_edit_in_the_database_is_found(
    store: AuditStore, clock: SteppedClock, records: Records, database: Database
) -> None:
    for _ in range(3):
        await keep(store, clock, records.view_started(new_id()))
    assert first_break([entry async for entry in store.entries(batch=2)]) is None
    async with database.begin() as connection:
        await connection.execute(text("UPDATE audit_entry SET value = x'00' WHERE position = 2"))
    assert first_break([entry async for entry in store.entries()]) == 2


async def test_what_is_no_fact_goes_to_the_dead_letters_with_its_cause(
    store: AuditStore, clock: SteppedClock, records: Records, bus: EmbeddedBus
) -> None:
    log = bus.event_log(AUDIT_TOPIC)
    good = record_of(records.view_started(new_id()), clock)
    await log.append(Record(key="x", value=b"\xff\xff", headers=good.headers))
    await log.append(good)
    collector = Collector(bus, store, AuditMetrics(CollectorRegistry()), AUDIT_TOPIC)
    consumer = await log.open_consumer("test")
    await collector.collect(await consumer.read())
    await consumer.close()
    assert len([entry async for entry in store.entries()]) == 1
    dead = await (await bus.event_log(f"{AUDIT_TOPIC}.dlq").open_consumer("test")).read()
    assert dead[0].record.value == b"\xff\xff"
    assert "AuditRecord" in dead[0].record.headers["dlq-cause"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record_id", "a\0b"),
        ("event", "e" * 61),
        ("owner", "0" * 65),
        ("camera_id", "c\0"),
        ("view_id", "v" * 61),
    ],
)
def test_what_the_database_could_not_keep_is_no_fact(
    clock: SteppedClock, records: Records, field: str, value: str
) -> None:
    record = records.view_started(new_id())
    setattr(record, field, value)
    with pytest.raises(UnreadableRecordError, match=f"`{field}`"):
        fact_of(record_of(record, clock))


async def test_only_what_was_added_is_counted_as_added(
    store: AuditStore, clock: SteppedClock, records: Records, bus: EmbeddedBus
) -> None:
    registry = CollectorRegistry()
    collector = Collector(bus, store, AuditMetrics(registry), AUDIT_TOPIC)
    stored = StoredRecord(record_of(records.view_started(new_id()), clock), "1")
    await collector.collect([stored, stored])
    await collector.collect([stored])
    assert registry.get_sample_value("audit_entries_total", {"type": "feedgate.audit.v1.AuditRecord"}) == 1
    assert registry.get_sample_value("audit_repeated_records_total") == 2


async def test_lag_is_the_age_of_what_was_read_and_could_not_be_added(
    store: AuditStore,
    clock: SteppedClock,
    records: Records,
    bus: EmbeddedBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector = Collector(bus, store, AuditMetrics(CollectorRegistry()), AUDIT_TOPIC)
    facts = [StoredRecord(record_of(records.view_started(new_id()), clock), str(n)) for n in range(2)]

    async def refuse(_: object) -> list[object]:
        raise OSError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(store, "append", refuse)
        with pytest.raises(OSError, match="away"):
            await collector.collect(facts)
    clock.advance(70)
    assert lag_s([collector], clock.now_us()) == pytest.approx(71)  # of the older one
    await collector.collect(facts)
    assert lag_s([collector], clock.now_us()) == 0
