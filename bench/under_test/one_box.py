"""All services in one process on the embedded backs: what `feedgate up` runs, with the demo's page beside it."""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench.child import obey
from bench.under_test.work import until_ready
from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import IssuerConfig, TokenVerifier
from feedgate_kit.listening import Listen, address_of, open_listener
from feedgate_kit.server import running
from feedgate_kit.telemetry import configure_logging
from feedgate_tools.demo.page_routes import OneUseCode, PageSession, create_page_app


class OfferedPage:
    """A `PageStory`: the page is given what the bench has opened."""

    def __init__(self) -> None:
        self.code = OneUseCode()
        self._session: PageSession

    def offer(self, session: PageSession) -> str:
        """Show this from now on; the code that opens the page, empty once it is open."""
        self._session = session
        return self.code.text

    async def session(self) -> PageSession:
        return self._session

    async def begin_again(self) -> PageSession:
        return self._session


async def main() -> None:
    async with AsyncExitStack() as stack:
        page = OfferedPage()

        async def handle(command: str, given: dict[str, Any]) -> Any:
            match command:
                case "start":
                    return await _start(stack, page, **given)
                case "offer-page":
                    return page.offer(PageSession(**given))
            raise ValueError(f"command `{command}`")

        await obey(handle)


async def _start(
    stack: AsyncExitStack,
    page: OfferedPage,
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
    clock = SystemClock()
    believed = [IssuerConfig.model_validate(issuer) for issuer in issuers]
    verifier = await stack.enter_async_context(TokenVerifier(believed, clock))
    box = await stack.enter_async_context(
        one_box(
            data,
            settings,
            issuers=believed,
            agencies={agency["id"]: Agency(**agency)},
            clock=clock,
            extra={"demo": create_page_app(page, page.code, verifier, clock)},
        )
    )
    served = await stack.enter_async_context(
        running(box, settings.public_listen, settings.internal_listen, shutdown_s=2.0)
    )
    await until_ready(box.waiting_for)
    return {"origin": served.public.origin, "internal": served.internal.origin}


if __name__ == "__main__":
    configure_logging("ERROR", sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
