"""A Chromium with real tabs, spoken to in CDP alone: Playwright's pages are never hidden."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.page.compositor import Box
from tests.servers.fixtures import CHROMIUM_FLAGS
from tests.servers.process import ServerProcess


class Tab:
    """One page in a tab of its own; a `compositor.Session`."""

    def __init__(self, browser: "Tabs", target: str, session: str) -> None:
        self.target = target
        self.handlers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self._browser = browser
        self._session = session

    async def send(self, method: str, params: dict[str, Any] | None = None) -> Any:
        return await self._browser.call(method, params, self._session)

    def on(self, event: str, handler: Callable[[dict[str, Any]], Any]) -> None:
        self.handlers[event] = handler

    async def show(self) -> None:
        """Bring it to the front, and so hide the others."""
        await self._browser.call("Target.activateTarget", {"targetId": self.target})

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of the promise it gives."""
        answer = await self.send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str, within_ms: int = 10_000) -> None:
        """Return once the page's own expression holds, looked at every time something in the page changes."""
        held = await self.evaluate(
            f"""new Promise(done => {{
                const look = () => {{ if ({condition}) done(true); }};
                new MutationObserver(look).observe(document, {{ attributes: true, childList: true, subtree: true }});
                document.addEventListener("visibilitychange", look);
                setTimeout(() => done(false), {within_ms});
                look();
            }})"""
        )
        assert held, f"not within {within_ms} ms: {condition}"

    async def box_of(self, selector: str) -> Box:
        rectangle = await self.evaluate(
            f"(({{x, y, width, height}}) => [x, y, width, height])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return Box(*rectangle)


class Tabs:
    """The browser's side of the conversation."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}
        self._asked = 0

    async def open(self, url: str) -> Tab:
        target = (await self.call("Target.createTarget", {"url": url}))["targetId"]
        session = (await self.call("Target.attachToTarget", {"targetId": target, "flatten": True}))[
            "sessionId"
        ]
        tab = self._tabs[session] = Tab(self, target, session)
        await tab.send("Page.enable")
        return tab

    async def call(
        self, method: str, params: dict[str, Any] | None = None, session: str | None = None
    ) -> Any:
        self._asked += 1
        message: dict[str, Any] = {"id": self._asked, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        answered = self._answers[self._asked] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps(message))
        answer = await answered
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def listen(self) -> None:
        async for text in self._connection:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
                continue
            tab = self._tabs.get(message.get("sessionId", ""))
            handler = tab.handlers.get(message["method"]) if tab else None
            if handler is not None:
                handler(message["params"])


@asynccontextmanager
async def tabs(chromium: Path, folder: Path) -> AsyncIterator[Tabs]:
    """A browser of its own that ends with the block."""
    profile = folder / "profile"
    process = ServerProcess(
        "chromium",
        [
            chromium,
            *CHROMIUM_FLAGS,
            "--headless=new",
            "--window-size=1100,800",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        folder / "chromium.log",
    )
    process.start()
    try:
        told = profile / "DevToolsActivePort"
        await asyncio.to_thread(
            process.wait_until, lambda: told.exists() and len(told.read_text(encoding="ascii").split()) == 2
        )
        port, path = told.read_text(encoding="ascii").split()
        async with connect(
            f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None, proxy=None
        ) as connection:
            browser = Tabs(connection)
            listening = asyncio.create_task(browser.listen())
            try:
                yield browser
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        process.end()
