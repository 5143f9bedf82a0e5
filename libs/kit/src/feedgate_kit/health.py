"""`python -m feedgate_kit.health registry`: whether the service beside this is ready; for containers."""

import json
import os
import sys
from http.client import HTTPConnection, HTTPException
from typing import Final

TIMEOUT_S: Final = 2.0
"""Below what an orchestrator gives the whole command."""


def waiting_for(host: str, port: int) -> list[str]:
    """What the service there still waits for.

    Raises:
        OSError: nothing answers.
        HTTPException: what answers is no HTTP.
        ValueError: what answers is no Feedgate service.
    """
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = json.load(connection.getresponse())
    finally:
        connection.close()
    if not isinstance(answer, dict) or "ready" not in answer:
        raise ValueError("not a readiness report")
    return [] if answer["ready"] else [str(name) for name in answer.get("waiting_for", [])] or ["itself"]


def main() -> int:
    """Exit status 0 if it is ready; else 1, and one line says why. The settings are the service's own."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m feedgate_kit.health SERVICE\n")
        return 2
    prefix = f"FEEDGATE_{sys.argv[1].replace('-', '_').upper()}_PUBLIC_"
    host, port = os.environ.get(f"{prefix}HOST", "127.0.0.1"), os.environ.get(f"{prefix}PORT", "8080")
    try:
        unmet = waiting_for(host, int(port))
    except (OSError, HTTPException, ValueError) as error:
        sys.stdout.write(f"no answer at {host}:{port}: {type(error).__name__}\n")
        return 1
    sys.stdout.write(f"waits for {', '.join(unmet)}\n" if unmet else "ready\n")
    return 1 if unmet else 0


if __name__ == "__main__":
    sys.exit(main())
