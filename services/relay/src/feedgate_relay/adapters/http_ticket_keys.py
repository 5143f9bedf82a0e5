"""Access-policy's ticket keys over its internal port."""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from feedgate_kit.errors import FeedgateError
from feedgate_kit.tokens import TokenSource, TokenUnavailableError
from feedgate_kit.trust import Trust, system_trust

PATH: Final = "/internal/v1/ticket-keys"


class TicketKeysUnavailableError(FeedgateError):
    """Access-policy gave no keys. Those known before stay in use."""

    retriable = True


class HttpTicketKeys:
    """A `TicketKeySource`."""

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        trust: Trust | None = None,
        timeout_s: float = 3.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Asks for nothing yet.

        Args:
            base_url: of access-policy's internal port, without a path.
            token: this service's own, with the role `relay`.
            trust: whose certificates count; the system's authorities by default.
            timeout_s: how long it may take to answer.
            transport: how to reach it, where not over the network.
        """
        self._url = base_url.rstrip("/") + PATH
        self._token = token
        self._trust = trust or system_trust()
        self._timeout_s = timeout_s
        self._transport = transport

    async def fetch(self) -> Mapping[str, Any]:
        try:
            token = await self._token()
            # trust_env off: keys that decide who may look are never asked for through a proxy.
            async with httpx.AsyncClient(
                verify=self._trust,
                timeout=self._timeout_s,
                transport=self._transport,
                trust_env=False,
                follow_redirects=False,
            ) as client:
                answer = await client.get(self._url, headers={"authorization": f"Bearer {token}"})
                answer.raise_for_status()
                document = answer.json()
        except (httpx.HTTPError, ValueError, TokenUnavailableError) as error:
            raise TicketKeysUnavailableError(f"no ticket keys: {_cause(error)}") from error
        if not isinstance(document, dict):
            raise TicketKeysUnavailableError("no ticket keys: the answer is no JWK set")
        return document


def _cause(error: Exception) -> str:
    """In words an operator can act on: a refusal by its status, no token by its own message."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"access-policy answered {error.response.status_code}"
    return str(error) if isinstance(error, TokenUnavailableError) else type(error).__name__
