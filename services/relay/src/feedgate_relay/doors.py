"""The two WebSockets of a view. A refusal is accepted first and then closed: only so does its code arrive."""

from collections.abc import Awaitable, Callable
from typing import Final, cast

import structlog
from fastapi import APIRouter, WebSocket

from feedgate_kit.clock import Clock
from feedgate_kit.telemetry import about_grant
from feedgate_relay.close_codes import close_code
from feedgate_relay.connection import EXTENSION, RelayWebSocketProtocol
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.reasons import Reason
from feedgate_relay.redemption import Redemptions
from feedgate_relay.ticket import Ticket, TicketError, key_id, read_ticket
from feedgate_relay.ticket_keys import TicketKeys
from feedgate_relay.view import View
from feedgate_relay.views import RefusedError, Views

SUBPROTOCOL: Final = "feedgate.v1"
TICKET_PREFIX: Final = "ticket."
MEDIA_PREFIX: Final = "media."
REFUSED_WITHIN_S: Final = 2.0
"""How long a refused client has to answer the close frame."""
CLOSED_BY_VIEWER: Final = frozenset({1000, 1001, 1005})
"""Close codes a page or client sends on purpose, or by going away (RFC 6455 §7.4.1)."""

logger = structlog.get_logger(__name__)


class Doors:
    """Lets views in, or says why not."""

    def __init__(
        self,
        *,
        views: Views,
        keys: TicketKeys,
        redemptions: Redemptions,
        clock: Clock,
        metrics: RelayMetrics,
        public_origin: str,
        skew_us: int,
    ) -> None:
        self._views = views
        self._keys = keys
        self._clock = clock
        self._metrics = metrics
        self._public_origin = public_origin
        self._skew_us = skew_us
        self._redemptions = redemptions

    def routes(self) -> APIRouter:
        router = APIRouter(prefix="/relay/v1")
        router.add_api_websocket_route("/notices", self.notices)
        # A gateway leads the second socket to the relay it names: the one that holds the view.
        router.add_api_websocket_route("/relays/{relay_id}/media", self.media)
        return router

    async def notices(self, websocket: WebSocket) -> None:
        """The ticket opens a view; then the page is told, and heard, until either side ends."""
        connection = await _accepted(websocket)
        try:
            ticket = await self._ticket(self._offered(websocket, TICKET_PREFIX, Reason.TICKET_MISSING))
            view = await self._views.open(ticket, connection)
        except (TicketError, RefusedError) as error:
            await self._refuse(websocket, connection, error.reason)
            return
        with about_grant(ticket.grant_id):
            await _until_closed(websocket, view, lambda text: self._hear(view, text))

    async def media(self, websocket: WebSocket) -> None:
        """The secret in a view's `hello` opens the socket its pictures flow over."""
        connection = await _accepted(websocket)
        try:
            view = self._views.claim(self._offered(websocket, MEDIA_PREFIX, Reason.SECRET_REFUSED))
        except RefusedError as error:
            await self._refuse(websocket, connection, error.reason)
            return
        with about_grant(view.ticket.grant_id):
            await self._views.open_media(view, connection)
            await _until_closed(websocket, view, _ignored)

    async def _hear(self, view: View, text: str) -> None:
        token = view.hear(text)
        if token is None:
            return
        try:
            await self._views.extend(view, await self._ticket(token))
        except TicketError as error:
            view.refuse_extension(error.reason)

    async def _ticket(self, token: str) -> Ticket:
        key = await self._keys.key(key_id(token))
        heard_since_us = self._redemptions.heard_since_us
        if heard_since_us is None:
            raise TicketError(
                Reason.TICKET_USE_UNKNOWN, "this relay does not hear yet of tickets used elsewhere"
            )
        return read_ticket(
            token,
            key,
            now_us=self._clock.now_us(),
            started_at_us=heard_since_us,
            skew_us=self._skew_us,
        )

    def _offered(self, websocket: WebSocket, prefix: str, missing: Reason) -> str:
        """What the client offers as a subprotocol beside `feedgate.v1`; a URL would be kept by logs."""
        origin = websocket.headers.get("origin")
        if origin is not None and origin != self._public_origin:
            raise RefusedError(Reason.ORIGIN_REFUSED)
        offered: list[str] = websocket.scope["subprotocols"]
        if SUBPROTOCOL not in offered:
            raise RefusedError(Reason.SUBPROTOCOL_MISSING)
        given = [name.removeprefix(prefix) for name in offered if name.startswith(prefix)]
        if len(given) != 1:
            raise RefusedError(missing)
        return given[0]

    async def _refuse(self, websocket: WebSocket, connection: RelayWebSocketProtocol, reason: str) -> None:
        self._metrics.views_refused.labels(self._metrics.count_reason(reason)).inc()
        logger.info("view refused", reason=reason)
        connection.end(close_code(reason), reason, REFUSED_WITHIN_S)
        while (await websocket.receive())["type"] != "websocket.disconnect":
            continue


async def _accepted(websocket: WebSocket) -> RelayWebSocketProtocol:
    connection = websocket.scope["extensions"].get(EXTENSION)
    if not isinstance(connection, RelayWebSocketProtocol):
        raise RuntimeError("the relay must be served with `ws=RelayWebSocketProtocol`")  # noqa: TRY004 - not a value
    offered: list[str] = websocket.scope["subprotocols"]
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    connection.begin()
    return connection


async def _until_closed(websocket: WebSocket, view: View, hear: Callable[[str], Awaitable[None]]) -> None:
    by_viewer = False
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                by_viewer = message.get("code") in CLOSED_BY_VIEWER
                return
            await hear(cast("str", message.get("text") or ""))
    finally:
        view.connection_closed(by_viewer=by_viewer)


async def _ignored(text: str) -> None:
    """A viewer has nothing to say on the media socket."""
    del text
