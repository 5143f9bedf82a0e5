"""The people of a bench: one owner, two operators and their supervisor, over the real HTTP API."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx

from feedgate_kit.clock import SystemClock
from feedgate_tools.demo.story import Cast, People
from feedgate_tools.issuer import DevelopmentIssuer
from feedgate_tools.simulator.settings import Settings as CameraSettings
from tests.servers.deployment import Issuer

AGENCY: Final = "bench-police"
POOL: Final = "local"
LOOPBACK: Final = ["127.0.0.1/32"]
TOKENS_LAST_S: Final = 3600
"""A view ends with the token its ticket was asked with; none may end during a bench."""
GRANTS: Final = 4
"""Two of each operator; viewers are dealt out over them."""
TICKETS_AT_ONCE: Final = 4

CAMERA: Final = CameraSettings(clip=True, cameras=1, user="bench", password="simulated-only")  # noqa: S106 - of a camera that lives for a minute
"""1080p25, H.264 at 2.5 Mb/s, one keyframe a second, each picture written in 8 pieces."""

SCREEN_CAMERA: Final = replace(CAMERA, size="1280x720", kbps=2000)
"""What the demo's camera sends: a browser without a graphics processor shows it at its rate."""


def camera_in_words(settings: CameraSettings) -> str:
    """For a reader who wants to repeat it."""
    return (
        f"{settings.width}x{settings.height} at {settings.fps}/s, H.264 {settings.bits_per_second / 1e6:g} Mb/s, "
        f"keyframe every {settings.gop_s:g} s, --spread {settings.spread}"
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """What viewers look at until it is withdrawn."""

    authorisation_id: str
    grants: tuple[tuple[People, str], ...]
    """Each with the people whose operator is named in it."""


class World:
    """Somebody for every part that a person plays."""

    def __init__(self, people: Sequence[People]) -> None:
        """The same people several times, each time with another operator."""
        self.people = people
        self.owner = people[0]

    async def open_grants(self, camera_id: str, count: int = GRANTS) -> Opened:
        """The owner authorises once; then each operator asks, and the supervisor approves."""
        authorisation_id = await self.owner.authorise(camera_id)
        grants = []
        for number in range(count):
            people = self.people[number % len(self.people)]
            incident_id = await people.report_incident()
            await people.until_found(incident_id, camera_id)
            grants.append((people, await people.approve(await people.ask(incident_id, camera_id))))
        return Opened(authorisation_id, tuple(grants))

    async def take_tickets(self, opened: Opened, count: int) -> list[dict[str, Any]]:
        """One for each viewer, dealt out over the grants."""
        room = asyncio.Semaphore(TICKETS_AT_ONCE)

        async def take(number: int) -> dict[str, Any]:
            people, grant_id = opened.grants[number % len(opened.grants)]
            async with room:
                path = f"/access-policy/v1/grants/{grant_id}/tickets"
                ticket: dict[str, Any] = await people.call(people.cast.operator, "POST", path)
                return ticket

        return list(await asyncio.gather(*(take(number) for number in range(count))))

    async def withdraw(self, opened: Opened) -> int:
        """The owner stops sharing. When the request was sent, on the monotonic clock, in nanoseconds."""
        # A token and a connection at hand: neither belongs to the call.
        await self.owner.call(self.owner.cast.owner, "GET", "/registry/v1/agencies")
        called_ns = time.monotonic_ns()
        await self.owner.withdraw(opened.authorisation_id)
        return called_ns


@asynccontextmanager
async def development_issuer() -> AsyncIterator[DevelopmentIssuer]:
    async with DevelopmentIssuer(SystemClock(), agency=AGENCY, lifetime_s=TOKENS_LAST_S) as issuer:
        yield issuer


def people_of(issuer: Issuer, http: httpx.AsyncClient, agency: str, pool: str) -> World:
    """The issuer's people, who speak through `http`."""
    person = issuer.person
    cast = Cast(
        owner=person("owner").token_source(),
        operator=person("operator").token_source(),
        supervisor=person("supervisor").token_source(),
        developer=person("agency-system").token_source(),
    )
    casts = [cast, replace(cast, operator=person("second-operator").token_source())]
    return World([People(http, each, agency=agency, pool=pool) for each in casts])


def box_settings(issuer: DevelopmentIssuer) -> dict[str, Any]:
    """What a process of services is told to believe."""
    return {
        "issuers": [
            config.model_dump(mode="json", exclude_none=True)
            for config in issuer.issuers_config()
            if config.agency in {None, AGENCY}
        ],
        "agency": {
            "id": AGENCY,
            "name": "Bench Police",
            "jurisdiction": "AR",
            "issuer": issuer.agency_issuer(AGENCY),
        },
        "pool": POOL,
        "allowed_networks": LOOPBACK,
    }
