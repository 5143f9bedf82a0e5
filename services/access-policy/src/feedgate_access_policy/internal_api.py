"""The internal routes: what relays need to believe tickets."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from feedgate_access_policy.ticket import TicketKeys
from feedgate_kit.identity import Principal, service


def internal_routes(ticket_keys: TicketKeys) -> APIRouter:
    """The keys are public, and yet for relays alone: who may ask is not left to who can reach the port."""
    router = APIRouter(prefix="/internal/v1")

    @router.get("/ticket-keys")
    async def get_ticket_keys(relay: Annotated[Principal, Depends(service("relay"))]) -> dict[str, Any]:
        del relay
        return ticket_keys.jwks()

    return router
