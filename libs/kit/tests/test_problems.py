"""Every refusal of an API is problem details, and none of them tells a secret."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from io import StringIO
from typing import Annotated, Any, ClassVar

import httpx
import pytest
from fastapi import Query, Request, Response
from prometheus_client import CollectorRegistry
from pydantic import Field, SecretStr, StringConstraints

from feedgate_kit.errors import FeedgateError
from feedgate_kit.http import ApiModel, Id, Moment, Name, Page, Text, require_if_match, set_etag
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.problems import ErrorTable, Problem
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.wrong_values import A_TIME


class ShopError(FeedgateError):
    """Root of the shop's errors."""


class SoldOutError(ShopError):
    """Nothing is left."""


class StrikeError(FeedgateError):
    """Nobody works now."""

    retriable: ClassVar[bool] = True


class Source(ApiModel):
    url: Annotated[str, Field(max_length=20)]
    password: SecretStr | None = None


class CardBody(ApiModel):
    text: Annotated[Text, Field(max_length=20)]
    sent_at: Moment


Reason = Annotated[Text, StringConstraints(strip_whitespace=True), Field(min_length=10)]


class Order(ApiModel):
    item: Name
    count: Annotated[int, Field(ge=1, le=5)]
    price: float = 1.0
    gift: bool = False
    deliver_at: Moment | None = None
    customer: Id | None = None
    note: Annotated[Text, Field(max_length=20)] = ""
    source: Source | None = None
    tags: list[str] = Field(default_factory=list)
    reason: Reason | None = None
    cards: dict[
        Annotated[str, Field(pattern=r"^[a-z]+$")], Annotated[Text, Field(max_length=5)] | CardBody
    ] = Field(default_factory=dict)
    at: tuple[float, float] | None = None


@pytest.fixture
def log() -> StringIO:
    stream = StringIO()
    configure_logging(stream=stream)
    return stream


@pytest.fixture
async def shop(log: StringIO) -> AsyncIterator[httpx.AsyncClient]:
    verifier = TokenVerifier([], SteppedClock())
    errors: ErrorTable = {ShopError: (409, "shop-closed"), SoldOutError: (410, "sold-out")}
    app = create_public_app("shop", verifier, errors, max_body_bytes=2_000_000)

    @app.post("/shop/v1/orders")
    async def place(order: Order) -> Order:
        return order

    @app.get("/shop/v1/orders")
    async def list_orders(limit: Annotated[int, Query(ge=1, le=9)] = 5) -> Page[Order]:
        return Page(items=[Order(item="tea", count=limit)], next=None)

    @app.patch("/shop/v1/orders/{order_id}")
    async def change(order_id: Id, request: Request, response: Response) -> dict[str, str]:
        require_if_match(request, 7)
        set_etag(response, 8)
        return {"id": order_id}

    @app.get("/shop/v1/failures/{kind}")
    async def fail(kind: str) -> None:
        raise {
            "sold-out": SoldOutError("no `tea` is left"),
            "closed": ShopError("closed"),
            "strike": StrikeError("on strike until `rtsp://user:hunter2@camera/`"),
            "forgotten": FeedgateError("a secret cause"),
            "bug": RuntimeError("a secret cause with rtsp://user:hunter2@camera/"),
            "problem": Problem(418, "teapot", detail="short and stout", spout=["left"], status_of_lid="on"),
        }[kind]

    service = Service(
        name="shop",
        public=app,
        internal=create_internal_app("shop", verifier),
        registry=CollectorRegistry(),
    )
    transport = httpx.ASGITransport(service.public)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:feedgate:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    return document


TEA: dict[str, Any] = {"item": "tea", "count": 2}


async def test_what_is_right_passes(shop: httpx.AsyncClient) -> None:
    order = TEA | {
        "price": 2,
        "deliver_at": "2026-11-22T20:00:00-03:00",
        "customer": "0190A2C4-7f11-721c-afe3-e234a5a9f39d",
        "note": "two\nlines, ñandú 🐦",
    }
    answer = await shop.post("/shop/v1/orders", json=order)
    assert answer.status_code == 200, answer.text
    assert answer.json()["deliver_at"] == "2026-11-22T23:00:00Z"
    assert answer.json()["customer"] == "0190a2c4-7f11-721c-afe3-e234a5a9f39d"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"count": "2"}, "body.count"),
        ({"count": 2.5}, "body.count"),
        ({"count": True}, "body.count"),
        ({"count": 6}, "body.count"),
        ({"count": 10**400}, "body.count"),
        ({"count": None}, "body.count"),
        ({"price": "2"}, "body.price"),
        ({"gift": 1}, "body.gift"),
        ({"gift": "yes"}, "body.gift"),
        ({"item": 5}, "body.item"),
        ({"item": ""}, "body.item"),
        ({"item": "   "}, "body.item"),
        ({"item": "t" * 81}, "body.item"),
        ({"item": "t\0a"}, "body.item"),
        ({"note": "\x1b[2J"}, "body.note"),
        ({"note": "long " * 20}, "body.note"),
        ({"customer": "7"}, "body.customer"),
        ({"customer": "0190a2c47f11721cafe3e234a5a9f39d"}, "body.customer"),
        ({"deliver_at": "2026-11-22T20:00:00"}, "body.deliver_at"),
        ({"deliver_at": "tomorrow"}, "body.deliver_at"),
        ({"deliver_at": "0001-01-01T00:00:00+14:00"}, "body.deliver_at"),
        ({"deliver_at": "9999-12-31T23:59:59-23:59"}, "body.deliver_at"),
        ({"deliver_at": "1969-12-31T23:59:59Z"}, "body.deliver_at"),
        ({"deliver_at": "2200-01-01T00:00:00Z"}, "body.deliver_at"),
        ({"item": "te\na"}, "body.item"),
        ({"item": "te\ra"}, "body.item"),
        ({"item": "te\ta"}, "body.item"),
        ({"item": "te\u2028a"}, "body.item"),
        *(
            ({"item": blank}, "body.item")
            for blank in ("\u200b\u200d", "\u2800", "\u3164 \uffa0", "\u0301\ufe0f")
        ),
        ({"colour": "red"}, "body.colour"),
        ({"source": {"url": "x", "port": 1}}, "body.source.port"),
        ({"tags": ["a", 5]}, "body.tags.1"),
        ({"tags": "a"}, "body.tags"),
    ],
    ids=str,
)
async def test_a_wrong_value_is_named_with_what_was_seen_and_is_allowed(
    shop: httpx.AsyncClient, change: dict[str, Any], path: str
) -> None:
    document = problem_of(await shop.post("/shop/v1/orders", json=TEA | change), 422, "invalid-request")
    (error,) = document["errors"]
    assert error["path"] == path
    assert set(error) == {"path", "seen", "allowed"}
    assert error["allowed"]


@pytest.mark.parametrize(
    ("change", "path", "seen", "allowed"),
    [
        ({"item": 5}, "body.item", 5, "text"),
        ({"item": "\ud800"}, "body.item", "?", "text without half a surrogate pair"),
        ({"item": ""}, "body.item", "", "at least 1 character"),
        ({"reason": "short"}, "body.reason", "short", "at least 10 characters"),
        ({"tags": "a"}, "body.tags", "a", "an array"),
        ({"at": [1, 2, 3]}, "body.at", "an array", "at most 2 items"),
        ({"source": "x"}, "body.source", "…", "an object"),
        ({"count": "2"}, "body.count", "2", "a whole number"),
        ({"gift": 1}, "body.gift", 1, "true or false"),
        ({"price": "2"}, "body.price", "2", "a number"),
        (
            {"deliver_at": "2026-02-30T00:00:00Z"},
            "body.deliver_at",
            "2026-02-30T00:00:00Z",
            "a time with its zone as in RFC 3339, e.g. `2030-01-31T12:00:00Z`",
        ),
        (
            {"deliver_at": "9999-12-31T23:59:59-23:59"},
            "body.deliver_at",
            "9999-12-31T23:59:59-23:59",
            "a time from 1970 to 2199",
        ),
        ({"cards": {"B": "x"}}, "body.cards.B", "B", "as a name: text that matches `^[a-z]+$`"),
    ],
    ids=str,
)
async def test_what_is_allowed_is_said_in_words_of_what_is_sent(
    shop: httpx.AsyncClient, change: dict[str, Any], path: str, seen: Any, allowed: str
) -> None:
    body = json.dumps(TEA | change)  # which httpx would not write with half a surrogate pair
    answer = await shop.post("/shop/v1/orders", content=body, headers={"content-type": "application/json"})
    document = problem_of(answer, 422, "invalid-request")
    assert document["errors"] == [{"path": path, "seen": seen, "allowed": allowed}]


CARD = {"text": "Hi", "sent_at": "2026-11-22T20:00:00Z"}


@pytest.mark.parametrize(
    ("card", "path", "allowed"),
    [
        (5, "body.cards.a", "text or a card"),
        ({"a": 1}, "body.cards.a", "text or a card"),
        ({}, "body.cards.a", "text or a card"),
        (["x"], "body.cards.a", "text or a card"),
        ("longer than that", "body.cards.a", "at most 5 characters or a card"),
        # What was meant is clear, so its own field is named.
        ({"text": "Hi"}, "body.cards.a.sent_at", "this field is needed"),
        (CARD | {"sent_at": 5}, "body.cards.a.sent_at", A_TIME),
        (CARD | {"colour": "red"}, "body.cards.a.colour", "no such field"),
    ],
    ids=str,
)
async def test_a_value_of_several_kinds_is_named_by_its_place_alone(
    shop: httpx.AsyncClient, card: Any, path: str, allowed: str
) -> None:
    answer = await shop.post("/shop/v1/orders", json=TEA | {"cards": {"a": card}})
    document = problem_of(answer, 422, "invalid-request")
    (error,) = document["errors"]
    assert (error["path"], error["allowed"]) == (path, allowed)
    assert document["detail"] == f"1 of the request's values cannot be used: `{path}`"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_type_is_refused_by_its_type(shop: httpx.AsyncClient, kind: str) -> None:
    answer = await shop.post("/shop/v1/orders", content=b"{}", headers={"content-type": kind})
    document = problem_of(answer, 415, "media-type-unsupported")
    assert document["detail"] == f"the body's content type is `{kind}`; allowed: `application/json`"
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"tea",
        b'{"item": "tea",}',
        b"\xff\xfe",
        b'{"item": "\xff"}',
        b"[" * 2000,
        b'{"count": 1' + b"0" * 1900 + b"}",
        b'{"count": NaN, "item": "tea"}',
        b'{"price": Infinity, "item": "tea", "count": 1}',
        b'{"item": "\\ud800", "count": 1}',
        b'{"item": "tea", "count": 1, "tags": ["\\udfff"]}',
        b"[]",
        b"null",
        b'"tea"',
        b"7",
    ],
    ids=repr,
)
async def test_a_body_that_is_no_order_is_refused(shop: httpx.AsyncClient, body: bytes) -> None:
    answer = await shop.post("/shop/v1/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] in {
        "urn:feedgate:problem:malformed-json",
        "urn:feedgate:problem:invalid-request",
    }


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"item": "hunter2', id="cut"),
        pytest.param(b"[" * 1_000_000, id="deep"),
        pytest.param(b'{"count": ' + b"1" * 5_000 + b"}", id="a number of 5,000 digits"),
        pytest.param(b'{"item": "hunter2\xff"}', id="not UTF-8"),
    ],
)
async def test_malformed_json_is_named_so(shop: httpx.AsyncClient, body: bytes) -> None:
    answer = await shop.post("/shop/v1/orders", content=body, headers={"content-type": "application/json"})
    problem_of(answer, 400, "malformed-json")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"url": "rtsp://user:hunter2@camera.example/live"}},
        {"source": {"url": 5, "password": {"hunter2": 1}}},
        {"source": "rtsp://user:hunter2@camera/"},
        {"source": ["hunter2"]},
        {"client_secret": "hunter2"},
        {"rtspPassword": "hunter2"},
        {"item": "rtsp://user:hunter2@camera/" + "x" * 80},
        {"item": ["user:hunter2@camera"]},
        {"note": "user:hunter2@camera/and more"},
        {"colour": {"shade": "hunter2"}},
    ],
    ids=str,
)
async def test_a_refusal_never_repeats_a_secret(
    shop: httpx.AsyncClient, log: StringIO, change: dict[str, Any]
) -> None:
    answer = await shop.post("/shop/v1/orders", json=TEA | change)
    problem_of(answer, 422, "invalid-request")
    assert "hunter2" not in answer.text
    assert "hunter2" not in log.getvalue()


async def test_a_body_over_the_limit_is_refused(shop: httpx.AsyncClient) -> None:
    too_long = {"note": "x" * 2_000_000}
    problem_of(await shop.post("/shop/v1/orders", json=TEA | too_long), 413, "body-too-large")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1_000_000

    streamed = await shop.post(
        "/shop/v1/orders", content=endless(), headers={"content-type": "application/json"}
    )
    problem_of(streamed, 413, "body-too-large")


async def test_addresses_and_methods_nobody_has_are_problems(shop: httpx.AsyncClient) -> None:
    problem_of(await shop.get("/shop/v1/nothing"), 404, "not-found")
    problem_of(await shop.get("/shop/v1/orders/"), 404, "not-found")


@pytest.mark.parametrize("method", ["DELETE", "TRACE", "OPTIONS", "BREW"])
async def test_a_refused_method_names_those_of_all_routes_of_the_path(
    shop: httpx.AsyncClient, method: str
) -> None:
    answer = await shop.request(method, "/shop/v1/orders")
    problem_of(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "target", ["/shop/v1/orders/%00", "/shop/v1/orders?limit=%00", "/shop/v1/orders?x=a%00b"]
)
async def test_nul_in_an_address_is_refused(shop: httpx.AsyncClient, target: str) -> None:
    problem_of(await shop.get(target), 422, "invalid-request")


@pytest.mark.parametrize(
    "target", ["/shop/v1/orders?limit=10", "/shop/v1/orders?limit=x", "/shop/v1/orders?limit="]
)
async def test_a_wrong_query_is_named(shop: httpx.AsyncClient, target: str) -> None:
    assert problem_of(await shop.get(target), 422, "invalid-request")["errors"][0]["path"] == "query.limit"


async def test_expected_errors_are_answered_by_the_table(shop: httpx.AsyncClient) -> None:
    sold_out = problem_of(await shop.get("/shop/v1/failures/sold-out"), 410, "sold-out")
    assert sold_out["detail"] == "no `tea` is left"
    problem_of(await shop.get("/shop/v1/failures/closed"), 409, "shop-closed")
    teapot = problem_of(await shop.get("/shop/v1/failures/problem"), 418, "teapot")
    assert (teapot["spout"], teapot["status_of_lid"]) == (["left"], "on")


async def test_an_error_that_may_pass_is_503_without_its_cause(
    shop: httpx.AsyncClient, log: StringIO
) -> None:
    answer = await shop.get("/shop/v1/failures/strike")
    problem_of(answer, 503, "temporarily-unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "strike" not in answer.text
    assert "on strike" in log.getvalue()
    assert "hunter2" not in log.getvalue()


@pytest.mark.parametrize("kind", ["forgotten", "bug"])
async def test_an_unexpected_error_is_500_without_its_cause_and_logged_by_request_id(
    shop: httpx.AsyncClient, log: StringIO, kind: str
) -> None:
    answer = await shop.get(f"/shop/v1/failures/{kind}", headers={"x-request-id": "find-me-7"})
    problem_of(answer, 500, "internal-error")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "find-me-7"
    causes = [line for line in log.getvalue().splitlines() if "a secret cause" in line]
    assert causes
    assert all('"request_id": "find-me-7"' in line for line in causes)
    assert "hunter2" not in log.getvalue()


ORDER = "/shop/v1/orders/0190a2c4-7f11-721c-afe3-e234a5a9f39d"


@pytest.mark.parametrize("tags", ['"7"', '"6", "7"', "*"])
async def test_a_change_to_the_version_it_knows_passes(shop: httpx.AsyncClient, tags: str) -> None:
    answer = await shop.patch(ORDER, headers={"if-match": tags})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"8"')


@pytest.mark.parametrize("tag", ['"6"', "7", 'W/"7"', "", '"77"', "x" * 200])
async def test_a_change_to_another_version_is_a_conflict(shop: httpx.AsyncClient, tag: str) -> None:
    answer = await shop.patch(ORDER, headers={"if-match": tag})
    assert problem_of(answer, 412, "version-conflict")["version"] == 7
    assert answer.headers["etag"] == '"7"'


async def test_a_change_to_no_version_needs_one(shop: httpx.AsyncClient) -> None:
    problem_of(await shop.patch(ORDER), 428, "precondition-required")


async def test_the_description_names_problems_for_every_route(shop: httpx.AsyncClient) -> None:
    description = (await shop.get("/shop/v1/openapi.json")).json()
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len(operations) == 4
    for operation in operations:
        assert "application/problem+json" in operation["responses"]["default"]["content"]
        assert "422" not in operation["responses"]


def test_a_moment_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="timezone"):
        Order(item="tea", count=1, deliver_at=datetime(2026, 11, 22, 20))  # noqa: DTZ001 - that is the point
