"""All services in one process on the embedded backs: what `feedgate up` runs."""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench.child import obey
from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.composition import Composition
from feedgate_kit.identity import IssuerConfig
from feedgate_kit.listening import Listen, address_of, open_listener
from feedgate_kit.server import running
from feedgate_kit.telemetry import configure_logging

READY_WITHIN_S = 30.0


async def main() -> None:
    async with AsyncExitStack() as stack:

        async def handle(command: str, given: dict[str, Any]) -> Any:
            if command != "start":
                raise ValueError(f"command `{command}`")
            return await _start(stack, **given)

        await obey(handle)


async def _start(
    stack: AsyncExitStack,
    *,
    issuers: list[dict[str, Any]],
    agency: dict[str, str],
    pool: str,
    allowed_networks: list[str],
) -> dict[str, Any]:
    """Serve on free ports in a temporary folder; where."""
    with open_listener(Listen("127.0.0.1", 0)) as free:
        address = address_of(free)
    settings = UpSettings(
        public_port=address.port,
        internal_port=0,
        public_origin=address.origin,
        pool=pool,
        allowed_networks=tuple(allowed_networks),
    )
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
    data = stack.enter_context(open_data_folder(folder))
    box = await stack.enter_async_context(
        one_box(
            data,
            settings,
            issuers=[IssuerConfig.model_validate(issuer) for issuer in issuers],
            agencies={agency["id"]: Agency(**agency)},
            clock=SystemClock(),
        )
    )
    served = await stack.enter_async_context(
        running(box, settings.public_listen, settings.internal_listen, shutdown_s=2.0)
    )
    await _until_ready(box)
    return {"origin": served.public.origin, "internal": served.internal.origin}


async def _until_ready(box: Composition) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while box.waiting_for():
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    configure_logging("ERROR", sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
