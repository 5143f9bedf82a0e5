"""Sources come from registry's internal API, to a named service, and never into an error."""

import base64
import json
import socket
import ssl
from collections.abc import Callable

import httpx
import pytest

from feedgate_ingest.adapters.registry_vault import RegistryVault
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_kit.addresses import parse_networks
from feedgate_kit.tokens import TokenUnavailableError

ANSWER = {
    "camera_id": "cam",
    "version": 3,
    "key_id": "key",
    "sealed": base64.b64encode(b"sealed").decode(),
    "pool": "yard",
    "allowed_networks": ["192.0.2.0/24"],
}


async def token() -> str:
    return "the-token"


def vault(answer: Callable[[httpx.Request], httpx.Response]) -> RegistryVault:
    transport = httpx.MockTransport(answer)
    return RegistryVault(
        "http://registry.test", token, pool="yard", key_ids=["last", "next"], transport=transport
    )


async def test_it_asks_as_itself_for_its_pool_and_keys() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=ANSWER)

    sealed = await vault(answer).fetch("cam")
    assert (sealed.camera_id, sealed.version, sealed.key_id, sealed.sealed) == ("cam", 3, "key", b"sealed")
    assert sealed.allowed_networks == parse_networks(["192.0.2.0/24"])
    (request,) = asked
    assert (request.method, request.url.path) == ("POST", "/internal/v1/cameras/cam/source")
    assert request.headers["authorization"] == "Bearer the-token"
    assert json.loads(request.content) == {"pool": "yard", "key_ids": ["last", "next"]}


@pytest.mark.usefixtures("socket_enabled")
async def test_authorities_are_read_once_and_not_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        asking = RegistryVault(
            f"http://127.0.0.1:{deaf.getsockname()[1]}", token, pool="yard", key_ids=["next"]
        )
        monkeypatch.setattr(ssl, "create_default_context", lambda **_: pytest.fail("read again"))
        with pytest.raises(FeedError, match="ConnectError"):
            await asking.fetch("cam")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        pytest.param(httpx.Response(409), Reason.SOURCE_REFUSED, id="refused"),
        pytest.param(httpx.Response(401), Reason.SOURCE_REFUSED, id="not believed"),
        pytest.param(httpx.Response(503), Reason.SOURCE_UNAVAILABLE, id="not ready"),
        pytest.param(httpx.Response(302), Reason.SOURCE_UNAVAILABLE, id="a redirect is not followed"),
        pytest.param(httpx.Response(200, text="<html>"), Reason.SOURCE_UNAVAILABLE, id="no JSON"),
        pytest.param(httpx.Response(200, json={}), Reason.SOURCE_UNAVAILABLE, id="fields missing"),
        pytest.param(
            httpx.Response(200, json=ANSWER | {"camera_id": "other"}),
            Reason.SOURCE_UNAVAILABLE,
            id="another camera's",
        ),
        pytest.param(
            httpx.Response(200, json=ANSWER | {"allowed_networks": ["everywhere"]}),
            Reason.SOURCE_UNAVAILABLE,
            id="no network",
        ),
    ],
)
async def test_other_answers_and_their_reasons(response: httpx.Response, reason: Reason) -> None:
    with pytest.raises(FeedError) as caught:
        await vault(lambda _: response).fetch("cam")
    assert caught.value.reason is reason
    assert "the-token" not in str(caught.value)


async def test_a_registry_that_is_away_is_unavailable() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(FeedError) as caught:
        await vault(answer).fetch("cam")
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE


async def test_without_a_token_nothing_is_asked() -> None:
    async def no_token() -> str:
        raise TokenUnavailableError("issuer away")

    transport = httpx.MockTransport(lambda _: pytest.fail("asked"))
    asking = RegistryVault(
        "http://registry.test", no_token, pool="yard", key_ids=["last", "next"], transport=transport
    )
    with pytest.raises(FeedError) as caught:
        await asking.fetch("cam")
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
