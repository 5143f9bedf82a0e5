"""Audit's one public question: an owner's ledger."""

from typing import Annotated

from fastapi import APIRouter, Query

from feedgate_audit.ledger import CONTINUES_A_VIEW, ActEntry, ViewEntry, ledger_of
from feedgate_audit.store import AuditStore
from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_kit.http import Id, Page
from feedgate_kit.identity import Owner, owner_key

LONGEST_CURSOR = 18  # digits; positions are 64-bit


def routes(store: AuditStore, owner_hash_key: bytes) -> APIRouter:
    """Routes over one chain."""
    router = APIRouter(prefix="/audit/v1")

    @router.get("/ledger")
    async def ledger(
        owner: Owner,
        camera_id: Id | None = None,
        after: Annotated[str | None, Query(pattern=r"^[0-9]+$", max_length=LONGEST_CURSOR)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Page[ViewEntry | ActEntry]:
        """Who looked through the caller's cameras and what was done to them, newest first."""
        key = owner_key(owner_hash_key, owner.issuer, owner.subject)
        rows = await store.of_owner(
            key,
            camera_id=camera_id,
            without=CONTINUES_A_VIEW,
            before=int(after) if after is not None else None,
            limit=limit + 1,
        )
        shown = rows[:limit]
        openings = [AuditRecord.FromString(bytes(row.value)) for row in shown]
        view_ids = {record.view_id for record in openings if record.event == "view.started"}
        of_views = [AuditRecord.FromString(bytes(row.value)) for row in await store.of_views(key, view_ids)]
        return Page(
            items=ledger_of(openings, of_views),
            next=str(shown[-1].position) if len(rows) > limit else None,
        )

    return router
