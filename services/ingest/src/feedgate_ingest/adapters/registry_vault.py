"""Sealed sources from registry's internal API."""

from collections.abc import Sequence

import httpx
from pydantic import Base64Bytes, BaseModel, ValidationError

from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.source import SealedSource
from feedgate_kit.addresses import parse_networks
from feedgate_kit.tokens import TokenSource, TokenUnavailableError
from feedgate_kit.trust import Trust, system_trust

TIMEOUT_S = 5.0


class _Answer(BaseModel):
    camera_id: str
    version: int
    key_id: str
    sealed: Base64Bytes
    allowed_networks: list[str]


class RegistryVault:
    """A `SourceVault`: `POST /internal/v1/cameras/{id}/source` as a service with role `ingest`."""

    def __init__(
        self,
        registry_url: str,
        token: TokenSource,
        *,
        pool: str,
        key_ids: Sequence[str],
        trust: Trust | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Fetch sources that were sealed to one pool's keys.

        Args:
            registry_url: of registry's internal port.
            token: this service's own.
            pool: this worker's.
            key_ids: of the keys it can open with.
            trust: whose certificates count; the system's authorities by default.
            transport: how to reach registry, where not over the network.
        """
        self._url = registry_url
        self._token = token
        self._question = {"pool": pool, "key_ids": list(key_ids)}
        self._trust = trust or system_trust()
        self._transport = transport

    async def fetch(self, camera_id: str) -> SealedSource:
        try:
            token = await self._token()
            # Asked once per connection to a camera, so none is kept to registry; and no proxy is used.
            async with httpx.AsyncClient(
                base_url=self._url,
                verify=self._trust,
                transport=self._transport,
                timeout=TIMEOUT_S,
                trust_env=False,
            ) as client:
                response = await client.post(
                    f"/internal/v1/cameras/{camera_id}/source",
                    json=self._question,
                    headers={"authorization": f"Bearer {token}"},
                )
        except (httpx.HTTPError, TokenUnavailableError) as error:
            raise FeedError(Reason.SOURCE_UNAVAILABLE, f"It failed with {type(error).__name__}.") from None
        if response.is_client_error:
            raise FeedError(Reason.SOURCE_REFUSED, f"It answered {response.status_code}.")
        if not response.is_success:
            raise FeedError(Reason.SOURCE_UNAVAILABLE, f"It answered {response.status_code}.")
        return _sealed(camera_id, response)


def _sealed(camera_id: str, response: httpx.Response) -> SealedSource:
    try:
        answer = _Answer.model_validate_json(response.content)
        networks = parse_networks(answer.allowed_networks)
    except (ValidationError, ValueError):
        raise FeedError(Reason.SOURCE_UNAVAILABLE, "Its answer cannot be read.") from None
    if answer.camera_id != camera_id:
        raise FeedError(Reason.SOURCE_UNAVAILABLE, "It answered about another camera.")
    return SealedSource(camera_id, answer.version, answer.key_id, answer.sealed, networks)
