"""`feedgate up`: the life of one box's process."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import uvloop

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.dangers import refuse_dangers
from feedgate_kit.errors import ONE_BOX_PAGE, OperatorError
from feedgate_kit.identity import IssuerConfig
from feedgate_kit.listening import address_of, open_listener
from feedgate_kit.metrics import show_certificates
from feedgate_kit.server import serve
from feedgate_kit.settings import load_settings
from feedgate_kit.telemetry import configure_logging


class UnbelievedAgencyError(OperatorError):
    """An agency's people could not be believed, whatever token they showed."""

    page = ONE_BOX_PAGE


def run_one_box(folder: Path) -> None:
    """Run all services until SIGTERM or SIGINT.

    Args:
        folder: where everything is kept.

    Raises:
        FeedgateError: settings, a port or the folder cannot be used; nothing was started.
    """
    settings = load_settings(UpSettings)
    refuse_dangers(settings)
    issuers, agencies = settings.load_issuers(), settings.load_agencies()
    refuse_unbelieved(agencies, issuers)
    configure_logging(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(folder, settings, issuers, agencies))


async def _run(
    folder: Path, settings: UpSettings, issuers: tuple[IssuerConfig, ...], agencies: Mapping[str, Agency]
) -> None:
    clock = SystemClock()
    # The folder before the port: of two processes on one folder, the second should hear of the first.
    with open_data_folder(folder) as data, open_listener(settings.public_listen) as listener:
        served = settings.seen_at(address_of(listener).origin)
        async with one_box(data, served, issuers=issuers, agencies=agencies, clock=clock) as box:
            show_certificates(box.registry, settings.certificate_files())
            await serve(
                replace(box, make_socket=lambda _: listener),
                settings.public_listen,
                settings.internal_listen,
                shutdown_s=settings.shutdown_s,
                internal_tls=settings.load_internal_tls(),
            )


def refuse_unbelieved(agencies: Mapping[str, Agency], issuers: Iterable[IssuerConfig]) -> None:
    """Let no agency be named by owners whose people no issuer speaks for.

    Raises:
        UnbelievedAgencyError: names the agency and what the issuers file has.
    """
    speaks_for = {issuer.agency: issuer.issuer for issuer in issuers if issuer.agency is not None}
    for agency in agencies.values():
        if speaks_for.get(agency.id) != agency.issuer:
            raise UnbelievedAgencyError(
                f"agency `{agency.id}` names the issuer `{agency.issuer}`; the issuers file has "
                f"`{speaks_for.get(agency.id, 'none')}` for it; allowed: the same in both"
            )
