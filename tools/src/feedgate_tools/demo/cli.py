"""`feedgate demo`: a camera, all services and the people of the story, in one command."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from feedgate_tools.demo.teller import Teller


def demo(
    camera: Annotated[
        str | None,
        typer.Option(
            envvar="FEEDGATE_DEMO_CAMERA",
            metavar="RTSP_URL",
            help="Your own camera instead of a simulated one: rtsp://user:pass@host/path. "
            "Better in the variable: `ps` shows arguments to everybody.",
        ),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="End after the story instead of showing the page.")
    ] = False,
    result: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what was measured, see above.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the services' log, on standard error.")
    ] = False,
) -> None:
    r"""Play the whole story on this machine: share a camera, watch it, stop it, prove it.

    Everything is real and temporary: an RTSP camera, an OIDC issuer, all services on free ports and a
    temporary folder. After the story it prints a link to a page, another whenever Enter is pressed,
    and stays until Ctrl-C.

    The file of --json holds:

    \b
    first_picture_ms               from asking for a ticket to the first picture
    withdrawal_to_notice_ms        from the owner's call to the viewer's notice
    withdrawal_to_last_picture_ms  from that call to the last picture, 0 if none came after it
    pictures                       received by the operator
    frame_events                   received by the developer: groups of pictures and notices
    pictures_after_withdrawal      received after the notice
    digests_matched                pictures whose bytes have the digest a frame event names
    notices                        the codes the viewer was told, in order

    What was not measured, because the story broke off, is null.

    Status 0 if every step happened, 1 if one did not, 2 if the demo could not begin, 130 if it was
    interrupted before its end.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from its first word on, it has a last one
    teller = Teller(time.monotonic())
    teller.begin(own_camera=bool(camera))
    try:
        from feedgate_tools.demo.performance import Programme, perform

        programme = Programme(camera or None, headless=headless, result=result, verbose=verbose)
        status = perform(programme, teller)
    except KeyboardInterrupt:  # before the demo itself listens to signals
        teller.end()
        status = 128 + signal.SIGINT
    sys.exit(status)
