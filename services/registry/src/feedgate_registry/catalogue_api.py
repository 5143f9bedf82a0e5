"""What owners choose from: the agencies and the ingest pools this deployment knows."""

from collections.abc import Mapping

from fastapi import APIRouter, Depends

from feedgate_kit.agencies import Agency
from feedgate_registry.account import FindAccount
from feedgate_registry.answers import AgenciesAnswer, AgencyAnswer, PoolAnswer, PoolsAnswer
from feedgate_registry.camera_api import PREFIX
from feedgate_registry.pools import Pool


def catalogue_routes(
    account: FindAccount, agencies: Mapping[str, Agency], pools: Mapping[str, Pool]
) -> APIRouter:
    """Routes over two data files."""
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

    return router
