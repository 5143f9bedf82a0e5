"""How the relay asks access-policy for ticket keys: as a service, and without losing those it has."""

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import ClientCredentials, LocalIssuer
from feedgate_relay.adapters.http_ticket_keys import HttpTicketKeys, TicketKeysUnavailableError
from feedgate_relay.ticket_keys import LEAST_PAUSE_S, TicketKeys

ISSUER = "https://login.example"
CLOCK = SteppedClock()
# Any issuer's key set will do: what matters is the way to it.
KEYS = LocalIssuer(Ed25519PrivateKey.generate(), ISSUER, CLOCK).jwks
[KEY] = KEYS["keys"]


class Neighbours:
    """The issuer and access-policy, either of which may be away."""

    def __init__(self) -> None:
        self.issuer_is_away = False
        self.access_policy_is_away = False
        self.status = 200
        self.tokens_shown: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "login.example":
            if self.issuer_is_away:
                raise httpx.ConnectError("refused")
            return httpx.Response(200, json={"access_token": "a-token", "expires_in": 1})
        if self.access_policy_is_away:
            raise httpx.ConnectError("refused")
        self.tokens_shown.append(request.headers["authorization"])
        return httpx.Response(self.status, json=KEYS)


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def source(neighbours: Neighbours) -> HttpTicketKeys:
    transport = httpx.MockTransport(neighbours)
    token = ClientCredentials(f"{ISSUER}/token", "relay", "hunter2", CLOCK, transport=transport)
    return HttpTicketKeys("http://access-policy", token, transport=transport)


async def test_it_shows_a_token_of_its_own(neighbours: Neighbours, source: HttpTicketKeys) -> None:
    assert await source.fetch() == KEYS
    assert neighbours.tokens_shown == ["Bearer a-token"]


@pytest.mark.parametrize(
    ("issuer_is_away", "access_policy_is_away", "status", "said"),
    [
        (True, False, 200, "`https://login.example/token` gave no usable answer (ConnectError)"),
        (False, True, 200, "ConnectError"),
        (False, False, 403, "access-policy answered 403"),
    ],
)
async def test_keys_once_had_open_views_while_nobody_answers(
    neighbours: Neighbours,
    source: HttpTicketKeys,
    issuer_is_away: bool,
    access_policy_is_away: bool,
    status: int,
    said: str,
) -> None:
    clock = SteppedClock()
    keys = TicketKeys(source, clock)
    known = await keys.key(KEY["kid"])
    neighbours.issuer_is_away = issuer_is_away
    neighbours.access_policy_is_away = access_policy_is_away
    neighbours.status = status
    clock.advance(2 * LEAST_PAUSE_S)
    with pytest.raises(TicketKeysUnavailableError) as refused:
        await source.fetch()
    assert str(refused.value) == f"no ticket keys: {said}"
    assert await keys.key(KEY["kid"]) is known
    assert keys.known
