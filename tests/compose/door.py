"""Run in a container of the stack: what the gateway answers, as one JSON object."""

import http.client
import json
import socket
import ssl
import sys
import warnings
from typing import Any
from urllib.parse import urlsplit

PATHS = (
    "/registry/v1/openapi.json",
    "/registry/metrics",
    "/registry/internal/v1/cameras",
    "/relay/internal/v1/anything",
    "/metrics",
    "/internal",
    "/relay/v1/relays/relay-9/media",
    "/identity/realms/master/protocol/openid-connect/token",
    "/identity/admin/",
    "/identity/realms/feedgate-owners/.well-known/openid-configuration",
    "/demo",
    "/demo/",
    "/demo/issuers",
    "/demo/metrics",
    "/",
)
TOO_LARGE = b" " * 70_000


def main(origin: str) -> dict[str, Any]:
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or 443
    status = {path: ask(host, port, path)[0] for path in PATHS}
    _, headers = ask(host, port, "/registry/v1/openapi.json")
    # What must not be in the log.
    ask(host, port, "/registry/v1/cameras?q=said-in-a-query", {"Authorization": "Bearer said-in-a-header"})
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "feedgate.v1, ticket.said-in-a-subprotocol",
    }
    ask(host, port, "/relay/v1/notices", upgrade)
    return {
        "status": status,
        "headers": headers,
        "too_large": ask(host, port, "/registry/v1/cameras", method="POST", body=TOO_LARGE)[0],
        "plain_http": plain(host, port),
        "old_tls": old_tls(host, port),
    }


def ask(
    host: str,
    port: int,
    path: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=ssl.create_default_context())
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def plain(host: str, port: int) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def old_tls(host: str, port: int) -> str:
    context = ssl.create_default_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with (
            socket.create_connection((host, port), 10) as connection,
            context.wrap_socket(connection, server_hostname=host) as encrypted,
        ):
            return str(encrypted.version())
    except ssl.SSLError:
        return "refused"


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))  # noqa: T201
