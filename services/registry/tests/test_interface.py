"""The published interface: what it describes is what it does, also with bodies nobody would write."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedgate_kit.ids import new_id

from .conftest import AUTHORISATION, CAMERA, ON_SQLITE_ONLY, Stand

OPERATIONS = {
    "GET /registry/v1/cameras",
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
    named = {
        f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods
    }
    assert named == OPERATIONS
