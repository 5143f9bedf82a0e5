"""The published interface: what it describes is what it does, also with bodies nobody would write."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import AUTHORISATION, CAMERA, ON_SQLITE_ONLY, Stand, registered

NOT_THERE = "0190a2c4-7f11-721c-afe3-e234a5a9f39d"
OPERATIONS = {
    "GET /registry/v1/cameras",
    "GET /registry/v1/jurisdictions",
    "POST /registry/v1/cameras",
    "GET /registry/v1/cameras/{camera_id}",
    "PATCH /registry/v1/cameras/{camera_id}",
    "DELETE /registry/v1/cameras/{camera_id}",
    "POST /registry/v1/cameras/{camera_id}/pause",
    "POST /registry/v1/cameras/{camera_id}/resume",
    "POST /registry/v1/cameras/{camera_id}/authorisations",
    "GET /registry/v1/cameras/{camera_id}/authorisations",
    "GET /registry/v1/authorisations/{authorisation_id}",
    "PATCH /registry/v1/authorisations/{authorisation_id}",
    "POST /registry/v1/authorisations/{authorisation_id}/withdraw",
    "GET /registry/v1/agencies",
    "GET /registry/v1/pools",
}


async def test_the_description_names_every_route_and_no_internal_one(stand: Stand) -> None:
    described = (await (await stand.nobody()).get("/registry/v1/openapi.json")).json()
    named = {f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods}
    assert named == OPERATIONS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
ODD = JSON | st.sampled_from(
    [10**400, -(2**63), 1e308, "\x00", "\ud800", "😀" * 90, "0" * 5000, [[]], {"": {}}]
)


@st.composite
def odd_bodies(draw: st.DrawFn, usual: dict[str, Any]) -> Any:
    """A body that is right but for one or two places, or anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ODD)
    body = dict(usual)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from([*usual, "surplus"]))
        inner = body.get(name)
        if isinstance(inner, dict) and inner and draw(st.booleans()):
            body[name] = inner | {draw(st.sampled_from([*inner, "surplus"])): draw(ODD)}
        else:
            body[name] = draw(ODD)
    return body


FUZZED = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FULL_AUTHORISATION = AUTHORISATION | {
    "renditions": ["original"],
    "schedule": {"time_zone": "UTC", "windows": [{"days": ["mon"], "from": "08:00", "until": "09:00"}]},
    "expires_at": "2027-06-01T00:00:00Z",
    "approval_mode": "standing",
}


async def send(stand: Stand, method: str, url: str, body: Any) -> None:
    """Whatever is sent, the answer is a success or a refusal that says why; never a failure of ours."""
    ana = await stand.owner("ana")
    content = json.dumps(body).encode()
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    answer = await ana.request(method, url, content=content, headers=headers)
    assert answer.status_code in {200, 201, 400, 404, 409, 422}, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].startswith("urn:feedgate:problem:")


@ON_SQLITE_ONLY
@FUZZED
@given(body=odd_bodies(CAMERA))
async def test_whatever_is_registered_is_taken_or_refused(stand: Stand, body: Any) -> None:
    await send(stand, "POST", "/registry/v1/cameras", body)


@ON_SQLITE_ONLY
@FUZZED
@given(body=odd_bodies(FULL_AUTHORISATION))
async def test_whatever_is_authorised_is_taken_or_refused(stand: Stand, body: Any) -> None:
    ana = await stand.owner("ana")
    cameras = (await ana.get("/registry/v1/cameras")).json()["items"]
    camera = cameras[0] if cameras else await registered(ana)
    await send(stand, "PATCH", f"/registry/v1/cameras/{camera['id']}", body)
    url = f"/registry/v1/cameras/{camera['id']}/authorisations"
    await send(stand, "POST", url, body)
    for given_before in (await ana.get(url)).json()["items"][:1]:
        await send(stand, "PATCH", f"/registry/v1/authorisations/{given_before['id']}", body)


@ON_SQLITE_ONLY
@pytest.mark.parametrize(
    "camera_id", ["1", "not-an-id", "%00", "..", NOT_THERE.upper(), "0" * 300, "🎥", f"{NOT_THERE}/../x"]
)
async def test_whatever_is_asked_for_is_found_or_not(stand: Stand, camera_id: str) -> None:
    ana = await stand.owner("ana")
    answer = await ana.get(f"/registry/v1/cameras/{camera_id}")
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"
