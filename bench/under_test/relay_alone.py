"""The relay and an embedded bus in one process, fed by `rest_of_box` over a Unix socket."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench.child import obey
from bench.under_test.bridge import Bridge, listen
from bench.under_test.work import carried, until_ready
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import IssuerConfig, TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.tokens import ClientCredentials
from feedgate_relay.adapters.http_ticket_keys import HttpTicketKeys
from feedgate_relay.app import create_app
from feedgate_relay.ports import RelayPorts
from feedgate_relay.settings import RelaySettings


async def main() -> None:
    async with AsyncExitStack() as stack:
        relay = _Relay(stack)
        await obey(relay.handle)


class _Relay:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def handle(self, command: str, given: dict[str, Any]) -> Any:
        match command:
            case "start":
                return await self._start(**given)
            case "ready":
                return await until_ready(self._service.readiness.waiting_for)
        raise ValueError(f"command `{command}`")

    async def _start(
        self,
        *,
        folder: str,
        issuers: list[dict[str, Any]],
        access_policy_internal: str,
        token_url: str,
        client_secret: str,
    ) -> dict[str, Any]:
        """Serve on free ports; where. Ready once the other side has called."""
        clock = SystemClock()
        bus = EmbeddedBus(Path(folder) / "relay-bus.sqlite", clock)
        self._stack.push_async_callback(bus.close)
        await bus.start()
        verifier = await self._stack.enter_async_context(
            TokenVerifier([IssuerConfig.model_validate(issuer) for issuer in issuers], clock)
        )
        token = ClientCredentials(token_url, "relay", client_secret, clock)
        ports = RelayPorts(
            bus=bus,
            clock=clock,
            verifier=verifier,
            ticket_keys=HttpTicketKeys(access_policy_internal, token),
        )
        self._service = create_app(RelaySettings(skew_s=0.0), ports)
        bridge = Bridge(bus)
        server = await listen(Path(folder) / "bridge.sock", bridge)
        self._stack.callback(server.close)

        async def send_demand() -> None:
            await bridge.connected.wait()
            await bridge.send_demand()

        await self._stack.enter_async_context(carried([bridge.append_arrived(), send_demand()]))
        free = Listen("127.0.0.1", 0)
        served = await self._stack.enter_async_context(running(self._service, free, free, shutdown_s=2.0))
        return {"origin": served.public.origin, "internal": served.internal.origin}


if __name__ == "__main__":
    configure_logging("ERROR", sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
