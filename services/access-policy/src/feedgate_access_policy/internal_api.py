"""The internal routes: what relays need to believe tickets."""

from typing import Any

from fastapi import APIRouter

from feedgate_access_policy.ticket import TicketKeys


def internal_routes(ticket_keys: TicketKeys) -> APIRouter:
    """Public keys need no token; the port is not one that people reach."""
    router = APIRouter(prefix="/internal/v1")

    @router.get("/ticket-keys")
    async def get_ticket_keys() -> dict[str, Any]:
        return ticket_keys.jwks()

    return router
