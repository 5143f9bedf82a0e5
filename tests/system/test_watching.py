"""A real Prometheus on the running system: every panel's value moves, and an alert reaches a webhook.

Every service is its own process, on a real Kafka and a real PostgreSQL.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.grafana.board import Query
from deploy.grafana.boards import BOARDS
from feedgate_client import RefusedError
from feedgate_kit.topics import (
    ACCESS_UNITS,
    CAMERA_STATE,
    DEMAND_EVENTS,
    FEED_STATE,
    GRANT_STATE,
    audit_events,
)
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import People, Shared
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.certificates import CertificateAuthority
from tests.servers.deployment import PACKAGES, Deployment
from tests.servers.kafka import KafkaBroker
from tests.servers.machine import faketime_library
from tests.servers.needs import require
from tests.servers.postgres import PostgresServer
from tests.servers.prometheus import Alertmanager, Prometheus, Series
from tests.servers.webhook import Webhook
from tests.system.alert_rules import alerts
from tests.system.movement import Movement, adds, changes, falls, rises, sinks_below, vanishes
from tests.system.promql import RATE_INTERVAL, metrics_in
from tests.system.watch import TIMEOUT_S, Watch, watching

pytestmark = [
    pytest.mark.needs("kafka", "postgres", "prometheus", "faketime"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240, func_only=True),
]

TOKEN = "of this test's webhook"
UNREADABLE = b"\xff\xff\xff"
CAMERA = "/cam0"
MIB = 1_048_576
AHEAD_S = 0.3
"""How far registry's clock is set ahead: less than what is allowed. No slow heartbeat looks like it."""
BEFORE_S = 5.0
RATE_OVER = "10s"
"""In place of Grafana's `$__rate_interval`: longer than the services are stopped here."""
LOOK_S = 0.2


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    require("kafka")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    tmp_path_factory: pytest.TempPathFactory, broker: KafkaBroker, postgres_server: PostgresServer
) -> AsyncIterator[Deployment]:
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"), valid_for=timedelta(days=30))
    async with Deployment(
        tmp_path_factory.mktemp("deployment"),
        kafka_bootstrap=broker.bootstrap,
        make_database=postgres_server.create_separated_database,
        environment={"audit": {"FEEDGATE_AUDIT_CA_FILE": str(authority.ca_file)}},
    ) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook() as webhook:
        yield webhook


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(
    tmp_path_factory: pytest.TempPathFactory, deployment: Deployment, webhook: Webhook
) -> AsyncIterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    alertmanager = Alertmanager(folder, webhook.url, TOKEN)
    targets = {name: [deployment.internal(name).removeprefix("http://")] for name in PACKAGES}
    prometheus = Prometheus(folder, targets, alertmanager.port)
    try:
        alertmanager.start()
        prometheus.start()
        yield prometheus
    finally:
        await prometheus.close()
        alertmanager.end()


@pytest_asyncio.fixture(loop_scope="module")
async def people(deployment: Deployment, broker: KafkaBroker) -> AsyncIterator[People]:
    async with deployment.people() as people:
        yield people
        broker.cont()
        await deployment.restore()


async def test_a_stopped_publisher_raises_an_alert_that_arrives_and_resolves(
    deployment: Deployment, prometheus: Prometheus, webhook: Webhook, people: People
) -> None:
    await until_scraped(prometheus)

    def about(status: str) -> Callable[[Any], bool]:
        wanted = {"alertname": "HeartbeatOld", "topic": CAMERA_STATE}
        return lambda body: any(
            alert["status"] == status and wanted.items() <= alert["labels"].items()
            for alert in body["alerts"]
        )

    assert not [body for _, body in webhook.posted if about("firing")(body)]
    deployment.processes["registry"].freeze()
    fired = await webhook.until(about("firing"), TIMEOUT_S)
    deployment.processes["registry"].thaw()
    (alert,) = [each for each in fired["alerts"] if each["labels"].get("topic") == CAMERA_STATE]
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["runbook"] == "docs/runbooks/HeartbeatOld.md"
    await webhook.until(about("resolved"), TIMEOUT_S)
    assert {authorization for authorization, _ in webhook.posted} == {f"Bearer {TOKEN}"}


async def until_scraped(prometheus: Prometheus) -> None:
    """Until every service has answered."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            up = {series.labels["job"]: series.points[0][1] for series in await prometheus.query("up")}
            if up == dict.fromkeys(PACKAGES, 1.0):
                return
            await asyncio.sleep(LOOK_S)


@dataclass
class Scene:
    """Who acts, on what, and what they hold."""

    deployment: Deployment
    broker: KafkaBroker
    postgres: PostgresServer
    camera: Simulator
    people: People
    stack: AsyncExitStack
    camera_id: str = ""
    request_id: str = ""
    shared: Shared = field(default_factory=lambda: Shared("", "", ""))
    watch: Watch | None = None

    async def register_a_camera(self) -> None:
        self.camera_id = await self.people.register_camera(self.camera.rtsp_url())

    async def ask(self) -> None:
        authorisation_id = await self.people.authorise(self.camera_id)
        incident_id = await self.people.report_incident()
        await self.people.until_found(incident_id, self.camera_id)
        self.request_id = await self.people.ask(incident_id, self.camera_id)
        self.shared = Shared(self.camera_id, authorisation_id, "")

    async def approve(self) -> None:
        grant_id = await self.people.approve(self.request_id)
        self.shared = Shared(self.camera_id, self.shared.authorisation_id, grant_id)

    async def open_a_view(self) -> None:
        watching_it = watching(self.deployment, self.people, self.shared.grant_id)
        self.watch = await self.stack.enter_async_context(watching_it)
        await self.watch.until_playing()

    async def open_a_view_and_read_nothing(self) -> None:
        view = await self.stack.enter_async_context(self.deployment.view(self.people, self.shared.grant_id))
        _, reads_media, _ = view._tasks
        reads_media.cancel()  # else it would hold pictures for seconds before it stops reading

    async def show_a_forged_ticket(self) -> None:
        ticket = await self.deployment.take_ticket(self.people, self.shared.grant_id)
        head, _, signature = ticket["ticket"].rpartition(".")
        forged = {**ticket, "ticket": f"{head}.{signature[::-1]}"}
        with pytest.raises(RefusedError):
            async with self.deployment.view(self.people, self.shared.grant_id, forged):
                pass

    async def cut_the_camera_off(self) -> None:
        """It comes back, but begins with pictures that need a keyframe before them."""
        assert self.watch is not None
        plays = (await self.camera.stats()).paths[CAMERA].plays
        await self.camera.control("no-keyframes")
        await self.camera.control("drop")
        counts = await self.camera.until(lambda counts: counts.paths[CAMERA].plays > plays)
        enough = counts.paths[CAMERA].pictures_sent + 5
        await self.camera.until(lambda counts: counts.paths[CAMERA].pictures_sent >= enough)
        await self.camera.control("resume")
        await self.watch.until_playing()

    async def pause(self) -> None:
        assert self.watch is not None
        await self._owner("pause")
        await self.watch.until_notice("paused_by_owner")
        notices, _ = self.watch.view._sockets
        await notices.send('{"type": "dark", "ms": 12, "code": "paused_by_owner"}')

    async def resume(self) -> None:
        assert self.watch is not None
        await self._owner("resume")
        await self.watch.until_playing()

    async def write_what_nobody_can_read(self) -> None:
        """As a producer of another version would; the stream's own key reaches its relay."""
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.bootstrap)
        await producer.start()
        try:
            for topic, key in (
                (CAMERA_STATE, "nothing"),
                (FEED_STATE, "nothing"),
                (DEMAND_EVENTS, "nothing"),
                (audit_events("relay"), "nothing"),
                (ACCESS_UNITS, self.watch.view.stream if self.watch else ""),
            ):
                headers = [("version", b"1"), ("ce_type", b"feedgate.audit.v1.AuditRecord"), ("ce_id", b"1")]
                await producer.send_and_wait(topic, UNREADABLE, key.encode(), headers=headers)
        finally:
            await producer.stop()

    @asynccontextmanager
    async def audits_table_locked(self) -> AsyncIterator[None]:
        url = self.postgres.url(self.deployment.databases["audit"].name).replace("+asyncpg", "")
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
                await self.people.authorise(self.camera_id)
                yield
        finally:
            await connection.close()

    @asynccontextmanager
    async def access_policy_stopped(self) -> AsyncIterator[None]:
        self.deployment.processes["access-policy"].freeze()
        yield
        self.deployment.processes["access-policy"].thaw()
        await self._plays_again()

    @asynccontextmanager
    async def registry_stopped(self) -> AsyncIterator[None]:
        self.deployment.processes["registry"].freeze()
        yield
        self.deployment.processes["registry"].thaw()
        await self._plays_again()

    @asynccontextmanager
    async def broker_stopped(self) -> AsyncIterator[None]:
        """While a view is opened and everybody does something that is put on record."""
        ticket = await self.deployment.take_ticket(self.people, self.shared.grant_id)
        self.broker.stop()
        opening = asyncio.create_task(self._open(ticket))
        await self.people.report_incident()
        await self.people.authorise(self.camera_id)
        yield
        self.broker.cont()
        await asyncio.gather(opening, return_exceptions=True)
        await self._plays_again()

    async def withdraw(self) -> None:
        assert self.watch is not None
        await self.people.withdraw(self.shared.authorisation_id)
        await self.watch.until_ended()

    async def ask_for_a_ticket_again(self) -> None:
        with pytest.raises(StoryError, match="authorisation_withdrawn"):
            await self.deployment.take_ticket(self.people, self.shared.grant_id)

    async def set_registrys_clock_ahead(self) -> None:
        environment = {
            "LD_PRELOAD": str(faketime_library()),
            "FAKETIME": f"+{AHEAD_S}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        await self.deployment.restart("registry", environment)

    async def _plays_again(self) -> None:
        assert self.watch is not None
        await self.watch.until_playing()

    async def _owner(self, act: str) -> None:
        await self.people.call(self.people.cast.owner, "POST", f"/registry/v1/cameras/{self.camera_id}/{act}")

    async def _open(self, ticket: dict[str, Any]) -> None:
        async with self.deployment.view(self.people, self.shared.grant_id, ticket):
            pass


REGISTRY, ACCESS_POLICY = {"service": "registry"}, {"service": "access-policy"}
UNREAD = "What could not be read, or was given up?"
WAITS = "What waits for the bus?"
CLOCKS = "How far do clocks differ?"

STILL = {
    (
        UNREAD,
        6,
    ): "records are given up only after thousands wait: services/relay/tests/test_outgoing.py counts them",
}
"""Queries, by panel and place, that no action here moves, and why."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What is done, and what panels show of it: while it lasts, if it lasts, and once it is over."""

    does: Callable[[Scene], Any]
    shows: Sequence[Movement] = ()
    meanwhile: Sequence[Movement] = ()


ACTIONS = (
    Action(
        does=Scene.register_a_camera,
        shows=[
            adds("What did owners do?", 1, act="register"),
        ],
    ),
    Action(
        does=Scene.ask,
        shows=[
            adds("What became of requests?", 1, state="pending_approval"),
            adds("Requests that wait for a second person", 1),
        ],
    ),
    Action(
        does=Scene.approve,
        shows=[
            adds("What became of requests?", 1, state="approved"),
            adds("Requests that wait for a second person", -1),
            adds("Grants in force", 1),
            rises("What was decided?", 1, result="permit"),
        ],
    ),
    Action(
        does=Scene.open_a_view,
        shows=[
            adds("How many look now?", 1),
            adds("Tickets signed", 1),
            adds("What were viewers told?", 1, code="started"),
            adds("How are the cameras that somebody looks at?", 1, phase="live"),
            rises("How many pictures come in and go out?", 10),
            rises("How many pictures come in and go out?", 10).at(1),
            rises("How many pictures come in and go out?", 10).at(2),
            rises("How much goes out to viewers?", 10_000),
            changes("How late are pictures?"),
            changes("How late are pictures?").at(1),
            adds("WebSockets", 1, route="/relay/v1/notices"),
            rises("CPU", 0.001, job="ingest"),
            rises("Memory", 4 * MIB, job="ingest"),  # a camera is read: 8 MiB once, idle 0.1 MiB at a time
            rises("Open files, of those allowed", 1e-9, job="relay"),
        ],
    ),
    Action(
        does=Scene.open_a_view_and_read_nothing,
        shows=[adds("How many look now?", 1), rises("What is dropped after the bus?", 0.1).at(1)],
    ),
    Action(
        does=Scene.show_a_forged_ticket,
        shows=[
            adds("Who was refused at the door, and why?", 1, reason="ticket_invalid"),
            # The third ticket: Prometheus counts no rate before a series' second sample.
            rises("HTTP requests", 0.05, service="access-policy"),
            changes("How long do answers take?", service="access-policy"),
        ],
    ),
    Action(
        does=Scene.cut_the_camera_off,
        shows=[
            rises("Why did connections to cameras end?", 1),
            rises("What is dropped before the bus?", 0.1, reason="before_keyframe"),
        ],
    ),
    Action(
        does=Scene.pause,
        shows=[
            adds("What did owners do?", 1, act="pause"),
            adds("Which open views are dark, and why?", 2, reason="paused"),
            adds("Pages that said they are dark", 1),
            changes("How long until a stop is on record?"),
        ],
    ),
    Action(does=Scene.resume, shows=[adds("Which open views are dark, and why?", -2, reason="paused")]),
    Action(
        does=Scene.write_what_nobody_can_read,
        shows=[
            adds(UNREAD, 2),  # one of cameras, one of feeds
            *(adds(UNREAD, 1).at(place) for place in range(1, 6)),
            rises("What is dropped after the bus?", 0.05, reason="unreadable"),
        ],
    ),
    Action(does=Scene.audits_table_locked, meanwhile=[rises("How far is the ledger behind?", 1)]),
    Action(
        does=Scene.access_policy_stopped,
        meanwhile=[
            rises("How old is the newest heartbeat?", 2, topic=GRANT_STATE),
            rises("Which open views are dark, and why?", 1, reason="heartbeat_old"),
            rises("Which pictures were refused, and why?", 0.1, reason="not_fresh"),
            vanishes("Who publishes?", **ACCESS_POLICY).at(1),
        ],
        shows=[adds("Terms of publishers", 1, **ACCESS_POLICY).at(1)],
    ),
    Action(
        does=Scene.registry_stopped,
        meanwhile=[
            rises("How old is the newest heartbeat?", 2, topic=CAMERA_STATE),
            rises("How old is the owners' will that ingest knows?", 2),
            falls("Who answers?", 1, job="registry"),
            vanishes("Who publishes?", **REGISTRY),
        ],
        shows=[
            rises("How late is the event loop?", 1, job="registry"),
            adds("Terms of publishers", 1, **REGISTRY),
        ],
    ),
    Action(does=Scene.broker_stopped, meanwhile=[rises(WAITS, 1).at(place) for place in range(3)]),
    Action(
        does=Scene.withdraw,
        shows=[
            adds("What did owners do?", 1, act="withdraw"),
            adds("Views made dark by a stop", 2),
            changes("How long from an owner's stop to dark?"),
            changes("How long from an owner's stop to dark?").at(1),
            adds("Why did views end?", 2, reason="authorisation_withdrawn"),
            adds("Why were grants closed?", 1, reason="authorisation_withdrawn"),
            adds("How many look now?", -2),
        ],
    ),
    Action(
        does=Scene.ask_for_a_ticket_again,
        shows=[
            adds("Why were requests and tickets denied?", 1, reason="authorisation_withdrawn"),
            rises("What was decided?", 1, result="deny"),
        ],
    ),
    Action(
        does=Scene.set_registrys_clock_ahead,
        shows=[
            sinks_below(CLOCKS, -0.1, topic=CAMERA_STATE),
            *(sinks_below(CLOCKS, -0.1).at(place) for place in (1, 2)),
        ],
    ),
)
"""In the order of the story."""

QUERIES: dict[tuple[str, int], Query] = {
    (panel.title, place): query
    for board in BOARDS
    for panel in board.panels
    for place, query in enumerate(panel.queries)
}


async def test_every_query_of_every_panel_is_moved_by_an_action() -> None:
    moved = {
        (movement.panel, movement.place)
        for action in ACTIONS
        for movement in (*action.shows, *action.meanwhile)
    }
    assert moved | STILL.keys() == QUERIES.keys()
    assert not moved & STILL.keys()


async def test_every_panel_has_data_that_move_with_what_is_done(
    deployment: Deployment,
    broker: KafkaBroker,
    postgres_server: PostgresServer,
    prometheus: Prometheus,
    people: People,
) -> None:
    await until_scraped(prometheus)
    began_s = time.time()
    settings = Settings(user="shop", password="simulated-only", size="640x360", kbps=2_000)
    async with Simulator(settings) as camera, AsyncExitStack() as stack:
        scene = Scene(deployment, broker, postgres_server, camera, people, stack)
        for action in ACTIONS:
            await until_scraped_since(prometheus, time.time())
            await play(action, scene, prometheus)
    for (title, place), query in QUERIES.items():
        assert any(each.points for each in await asked(prometheus, query, began_s)), (
            f"{title}, {place}: no data"
        )
    await everything_named_is_exported(prometheus)


async def play(action: Action, scene: Scene, prometheus: Prometheus) -> None:
    """Do it, and wait until every panel has shown it."""
    began_s = time.time()
    done = action.does(scene)
    if hasattr(done, "__aenter__"):
        async with done:
            await until_shown(action.meanwhile, action, prometheus, began_s)
    else:
        await done
    await until_shown(action.shows, action, prometheus, began_s)


async def until_shown(
    movements: Sequence[Movement], action: Action, prometheus: Prometheus, began_s: float
) -> None:
    waiting = list(movements)
    deadline_s = time.monotonic() + TIMEOUT_S
    while waiting:
        now_s = time.time()
        answers = {each: await asked(prometheus, query_of(each), began_s - BEFORE_S) for each in waiting}
        waiting = [each for each in waiting if not each.seen(answers[each], began_s, now_s)]
        if waiting and time.monotonic() > deadline_s:
            told = [
                f"{each}: {[list(by) for by in each.seen_of(answers[each], began_s, now_s)]}"
                for each in waiting
            ]
            pytest.fail("\n".join([f"{action.does.__name__}: not seen", *told]))
        if waiting:
            await asyncio.sleep(LOOK_S)


def query_of(movement: Movement) -> Query:
    return QUERIES[movement.panel, movement.place]


async def asked(prometheus: Prometheus, query: Query, from_s: float) -> list[Series]:
    return await prometheus.query_range(query.expr.replace(RATE_INTERVAL, RATE_OVER), from_s, time.time())


async def until_scraped_since(prometheus: Prometheus, since_s: float) -> None:
    """Until what happened before that moment is known of every service."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            scraped = await prometheus.query("min(timestamp(up))")
            if scraped and scraped[0].points[0][1] > since_s:
                return
            await asyncio.sleep(LOOK_S)


async def everything_named_is_exported(prometheus: Prometheus) -> None:
    """Every metric of the rules and panels has been scraped, with the labels asked for."""
    for expr in [*(query.expr for query in QUERIES.values()), *(alert["expr"] for alert in alerts())]:
        for named in metrics_in(expr):
            labels = await prometheus.labels_of(named.metric)
            assert labels, f"`{named.metric}` is not exported"
            assert {label for label, _, _ in named.matchers} <= labels
