"""Feedgate, as a recipient speaks to it over HTTP and WebSockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from feedgate_client.address import is_loopback
from feedgate_client.errors import ClientError
from feedgate_client.events import HttpFrameEvents, Token, refusal_of
from feedgate_client.view import View


class FeedgateClient:
    """One account's way in. Use it as an async context manager, or `close` it."""

    def __init__(
        self, base_url: str, token: Token, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Speak to one Feedgate on behalf of one account.

        Args:
            base_url: the public origin, `https://host`.
            token: called for a valid access token before each request.
            transport: how HTTP requests travel, where not as usual: own certificates, tests.
        """
        self.base_url = base_url
        self.token = token
        self._http = httpx.AsyncClient(
            base_url=base_url, transport=transport, trust_env=not is_loopback(base_url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def frame_events(self, *, last_event_id: str | None = None, retries: int = 5) -> HttpFrameEvents:
        """Frame events and notices of the account's agency; for its system account.

        Args:
            last_event_id: where an earlier iteration stopped; None for new events only.
            retries: how often in a row the relay may not be reached before it is an error.
        """
        return HttpFrameEvents(self._http, self.token, last_event_id, retries)

    @asynccontextmanager
    async def open_view(self, grant_id: str) -> AsyncIterator[View]:
        """Watch under a grant: the view is open inside the context.

        Raises:
            RefusedError: no ticket was given, or the relay did not take it.
            ClientError: Feedgate cannot be reached.
        """

        async def take_ticket() -> dict[str, Any]:
            return await self.take_ticket(grant_id)

        view = View(self.base_url, take_ticket)
        try:
            await view.open()
            yield view
        finally:
            await view.close()

    async def take_ticket(self, grant_id: str) -> dict[str, Any]:
        """A ticket for one view, good for 60 s.

        Raises:
            RefusedError: with the reasons in `problem`.
            ClientError: Feedgate cannot be reached.
        """
        headers = {"Authorization": f"Bearer {await self.token()}"}
        try:
            answer = await self._http.post(f"/access-policy/v1/grants/{grant_id}/tickets", headers=headers)
        except httpx.TransportError as error:
            raise ClientError(f"no ticket could be asked for: {error!r}") from error
        if answer.status_code != httpx.codes.CREATED:
            raise refusal_of(answer)
        ticket: dict[str, Any] = answer.json()
        return ticket
