"""Time's own act: authorisations past their expiry leave their camera's record."""

import asyncio

import structlog

from feedgate_registry.acts import OwnerActs
from feedgate_registry.metrics import RegistryMetrics

logger = structlog.get_logger(__name__)


async def record_expiries(acts: OwnerActs, metrics: RegistryMetrics, interval_s: float) -> None:
    """Look every `interval_s`, until cancelled. The relay keeps to expiry by itself."""
    while True:
        recorded = await acts.record_expiries()
        if recorded:
            metrics.expiries.inc(recorded)
            logger.info("authorisations expired", count=recorded)
        await asyncio.sleep(interval_s)
