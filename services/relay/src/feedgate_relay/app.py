"""The relay, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import CollectorRegistry

from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.supervise import background
from feedgate_kit.topics import CAMERA_STATE, DEMAND_EVENTS, GRANT_STATE
from feedgate_relay.admission import Limits
from feedgate_relay.close_codes import CloseCode
from feedgate_relay.connection import RelayWebSocketProtocol
from feedgate_relay.demand import Demand
from feedgate_relay.doors import Doors
from feedgate_relay.events_api import EventStreams
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.name import Name
from feedgate_relay.outgoing import Outgoing
from feedgate_relay.player_routes import player_routes
from feedgate_relay.ports import RelayPorts
from feedgate_relay.redemption import Redemptions
from feedgate_relay.settings import RelaySettings
from feedgate_relay.states import States
from feedgate_relay.ticket_keys import TicketKeys
from feedgate_relay.views import Views

DRAINED_WITHIN_S = 2.0
"""How long the last audit records may take to reach the bus when the process stops."""


def create_app(settings: RelaySettings, ports: RelayPorts) -> Service:
    """The service. It must be served with its `ws_protocol`."""
    clock = ports.clock
    limits = Limits(
        skew_us=round(settings.skew_s * MICROSECONDS), stall_us=round(settings.stall_s * MICROSECONDS)
    )
    prometheus = CollectorRegistry()
    metrics = RelayMetrics(prometheus)
    states = States(ports.bus, clock, limits, metrics)
    metrics.watch_heartbeats(states.heartbeat_ages, states.heartbeat_offsets)
    outgoing = Outgoing(ports.bus.event_log, metrics)
    name = Name(settings.relay_id)
    redemptions = Redemptions(ports.bus, clock, name)
    views = Views(
        bus=ports.bus,
        clock=clock,
        limits=limits,
        states=states,
        outgoing=outgoing,
        redemptions=redemptions,
        metrics=metrics,
        media_path=f"/relay/v1/relays/{settings.relay_id}/media",
        maximum=settings.maximum_views,
    )
    metrics.watch_dark_views(views.dark_reasons)
    demand = Demand(ports.bus.event_log(DEMAND_EVENTS), clock, settings.relay_id, views.demanded)
    views.on_change = demand.reconsider
    keys = TicketKeys(ports.ticket_keys, clock)
    streams = EventStreams(ports.bus, clock)
    doors = Doors(
        views=views,
        keys=keys,
        redemptions=redemptions,
        clock=clock,
        metrics=metrics,
        public_origin=settings.public_origin,
        skew_us=limits.skew_us,
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        tasks = {
            "camera state": states.follow_cameras,
            "grant state": states.follow_grants,
            "feed state": states.follow_feeds,
            "records": outgoing.run,
            "demand": demand.run,
            "ticket keys": keys.run,
            "used tickets": redemptions.listen,
            "used tickets, begin": redemptions.make_heard,
            "checks": views.run_checks,
            "leases": views.run_leases,
        }
        async with background(tasks, clock):
            try:
                yield
            finally:
                await views.close()
                await demand.tell()
                await outgoing.drained(DRAINED_WITHIN_S)

    def heard_long_enough() -> bool:
        since_s = redemptions.heard_since_s
        return since_s is not None and clock.monotonic_s() - since_s >= settings.skew_s

    def stop() -> None:
        streams.stop()
        views.stop()

    public = create_public_app("relay", ports.verifier)
    public.include_router(doors.routes())
    public.include_router(streams.routes())
    public.include_router(player_routes())
    return Service(
        name="relay",
        public=public,
        internal=create_internal_app("relay", ports.verifier),
        registry=prometheus,
        lifespan=lifespan,
        readiness=Readiness(
            {
                "camera state": partial(states.caught_up, CAMERA_STATE),
                "grant state": partial(states.caught_up, GRANT_STATE),
                "heartbeats": states.fresh,
                "ticket keys": lambda: keys.known,
                # Until then it refuses every ticket there can be: each may have been used unheard.
                "tickets from after its start": heard_long_enough,
                "uses of tickets": lambda: redemptions.hears,
            }
        ),
        on_stopping=stop,
        until_unfit=name.until_taken,
        ws_protocol=RelayWebSocketProtocol,
        close_codes=frozenset(CloseCode),
    )
