"""What owners choose from: the agencies, ingest pools and jurisdictions this deployment knows."""

from collections.abc import Mapping

from fastapi import APIRouter, Depends

from feedgate_kit.agencies import Agency
from feedgate_registry.account import FindOwner
from feedgate_registry.answers import (
    AgenciesAnswer,
    AgencyAnswer,
    JurisdictionAnswer,
    JurisdictionsAnswer,
    PoolAnswer,
    PoolsAnswer,
)
from feedgate_registry.camera_api import PREFIX
from feedgate_registry.jurisdictions import Jurisdictions
from feedgate_registry.pools import Pool


def catalogue_routes(
    account: FindOwner,
    agencies: Mapping[str, Agency],
    pools: Mapping[str, Pool],
    jurisdictions: Jurisdictions,
) -> APIRouter:
    """Routes over data files."""
    router = APIRouter(prefix=PREFIX, tags=["catalogue"], dependencies=[Depends(account)])

    @router.get("/agencies")
    async def list_agencies() -> AgenciesAnswer:
        """The agencies an authorisation may name."""
        return AgenciesAnswer(
            items=[
                AgencyAnswer(id=agency.id, name=agency.name, jurisdiction=agency.jurisdiction)
                for agency in agencies.values()
            ]
        )

    @router.get("/pools")
    async def list_pools() -> PoolsAnswer:
        """The pools a camera may name, and nothing of the networks they reach."""
        return PoolsAnswer(items=[PoolAnswer(name=name) for name in pools])

    @router.get("/jurisdictions")
    async def list_jurisdictions() -> JurisdictionsAnswer:
        """The jurisdictions a camera may stand in, each with the one whose law it adds to."""
        return JurisdictionsAnswer(
            items=[JurisdictionAnswer(id=name, parent=parent) for name, parent in jurisdictions.items()]
        )

    return router
