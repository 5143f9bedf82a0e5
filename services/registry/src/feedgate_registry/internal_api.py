"""Ingest's route, on the internal port only."""

import base64
from typing import Annotated

from fastapi import APIRouter, Depends

from feedgate_kit.http import Id
from feedgate_kit.identity import Principal, service
from feedgate_registry.answers import SealedSourceAnswer
from feedgate_registry.forms import SourceRequest
from feedgate_registry.handover import SourceHandover
from feedgate_registry.metrics import RegistryMetrics
from feedgate_registry.refusals import NotFoundError, SourceWithheldError


def internal_routes(handover: SourceHandover, metrics: RegistryMetrics) -> APIRouter:
    """The hand-over of sealed sources."""
    router = APIRouter(prefix="/internal/v1")

    @router.post("/cameras/{camera_id}/source")
    async def release_source(
        camera_id: Id, form: SourceRequest, worker: Annotated[Principal, Depends(service("ingest"))]
    ) -> SealedSourceAnswer:
        """A camera's source, sealed to its pool, while its owner shares it."""
        try:
            source = await handover.release(camera_id, form.pool, form.key_ids, worker.subject)
        except NotFoundError:
            metrics.sources_released.labels("not-found").inc()
            raise
        except SourceWithheldError as error:
            metrics.sources_released.labels(error.code).inc()
            raise
        metrics.sources_released.labels("released").inc()
        return SealedSourceAnswer(
            camera_id=source.camera_id,
            version=source.version,
            key_id=source.key_id,
            sealed=base64.b64encode(source.sealed).decode(),
            pool=source.pool.name,
            allowed_networks=[str(network) for network in source.pool.allowed_networks],
        )

    return router
