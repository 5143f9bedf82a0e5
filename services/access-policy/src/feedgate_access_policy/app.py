"""Access-policy, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from feedgate_access_policy.api import routes
from feedgate_access_policy.cameras import Cameras
from feedgate_access_policy.decision_point import DecisionPoint
from feedgate_access_policy.grant_desk import GrantDesk
from feedgate_access_policy.incident_desk import IncidentDesk
from feedgate_access_policy.internal_api import internal_routes
from feedgate_access_policy.jurisdiction import Law, load_law
from feedgate_access_policy.metrics import AccessPolicyMetrics
from feedgate_access_policy.pack import packaged_packs
from feedgate_access_policy.persons import Persons
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.refusal_problems import ERRORS, install_refusals
from feedgate_access_policy.request_desk import RequestDesk
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.tables import OUTBOX
from feedgate_access_policy.trail import SERVICE, Trail
from feedgate_access_policy.upkeep import Reviews, Upkeep
from feedgate_kit.agencies import AgenciesError, Agency
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.database_watch import DatabaseWatch
from feedgate_kit.outbox import Outbox
from feedgate_kit.owed_stops import OwedStops
from feedgate_kit.publisher import Publisher
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.supervise import background
from feedgate_kit.topics import GRANT_STATE

PACKAGE = "feedgate_access_policy"
DATABASE_WATCH_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The service with those of its parts that work by themselves."""

    service: Service
    cameras: Cameras
    reviews: Reviews
    upkeep: Upkeep
    grant_desk: GrantDesk
    publisher: Publisher


def create_app(settings: AccessPolicySettings, ports: AccessPolicyPorts) -> Service:
    """The service; nothing runs before its lifespan is entered.

    Raises:
        PackError: a jurisdiction pack does not load; half a law is none.
        AgenciesError: an agency acts under a law that has no pack; whatever it asked would be denied.
    """
    return assemble(settings, ports).service


def assemble(settings: AccessPolicySettings, ports: AccessPolicyPorts) -> Assembled:
    """The same, open to whoever wants to run its parts by hand."""
    prometheus = CollectorRegistry()
    metrics = AccessPolicyMetrics(prometheus)
    law = load_law(settings.packs_folder or packaged_packs())
    _check_jurisdictions(settings, ports.agencies, law)
    cameras = Cameras(ports.bus, ports.clock, round(settings.skew_s * MICROSECONDS))
    metrics.watch(cameras)
    outbox = Outbox(OUTBOX, SERVICE, ports.clock)
    owed = OwedStops(ports.database, SERVICE)
    metrics.stops_owed.set_function(lambda: owed.count)
    publisher = Publisher(
        database=ports.database,
        outbox=outbox,
        bus=ports.bus,
        clock=ports.clock,
        state_topic=GRANT_STATE,
        owed=owed,
        metrics=metrics,
    )
    point = DecisionPoint(law, cameras)
    persons = Persons(settings.operator_pseudonym_key.get_secret_value().encode())
    trail = Trail(outbox)
    reviews = Reviews()
    incident_desk = IncidentDesk(
        database=ports.database, cameras=cameras, persons=persons, trail=trail, clock=ports.clock
    )
    request_desk = RequestDesk(
        database=ports.database,
        point=point,
        persons=persons,
        trail=trail,
        agencies=ports.agencies,
        clock=ports.clock,
        metrics=metrics,
        review=reviews.ask_for,
    )
    grant_desk = GrantDesk(
        database=ports.database,
        point=point,
        persons=persons,
        trail=trail,
        ticket_keys=ports.ticket_keys,
        agencies=ports.agencies,
        clock=ports.clock,
        metrics=metrics,
    )
    upkeep = Upkeep(request_desk, grant_desk, settings.upkeep_interval_s)
    watch = DatabaseWatch(ports.database, PACKAGE, DATABASE_WATCH_S)

    public = create_public_app(SERVICE, ports.verifier, ERRORS)
    public.include_router(
        routes(
            incident_desk=incident_desk,
            request_desk=request_desk,
            grant_desk=grant_desk,
            persons=persons,
            owed=owed,
            law=law,
            clock=ports.clock,
        )
    )
    install_refusals(public)
    internal = create_internal_app(SERVICE, ports.verifier, ERRORS)
    internal.include_router(internal_routes(ports.ticket_keys))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await watch.refuse_newer()
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "publisher": publisher.run,
            "owed stops": owed.make_good,
            "owed stops told": owed.tell,
            "camera follower": partial(cameras.follow, reviews.ask_for),
            "reviews": partial(reviews.run, cameras, grant_desk),
            "upkeep": upkeep.run,
            "database watch": watch.run,
        }
        async with background(tasks, ports.clock):
            yield

    service = Service(
        name=SERVICE,
        public=public,
        internal=internal,
        registry=prometheus,
        lifespan=lifespan,
        readiness=Readiness(
            {
                "database": lambda: watch.answers,
                "the database at this version's revision": lambda: watch.is_migrated,
                "a fresh copy of the cameras": cameras.is_fresh,
            }
        ),
    )
    return Assembled(
        service=service,
        cameras=cameras,
        reviews=reviews,
        upkeep=upkeep,
        grant_desk=grant_desk,
        publisher=publisher,
    )


def _check_jurisdictions(settings: AccessPolicySettings, agencies: Mapping[str, Agency], law: Law) -> None:
    for agency in agencies.values():
        if agency.jurisdiction not in law.jurisdictions:
            raise AgenciesError(
                f"{settings.setting_name('agencies_file')}: `{agency.id}` acts under `{agency.jurisdiction}`, which "
                f"has no pack; allowed: {', '.join(sorted(law.jurisdictions))}"
            )
