"""The issuer as a process that can be struck: after a restart it has the keys and secrets it had before.

`python -m tests.faults.issuer FOLDER`
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import IssuerConfig, Realm
from feedgate_kit.listening import Listen, open_listener
from feedgate_kit.server import Server, serving, stop_signals
from feedgate_kit.tokens import LocalIssuer
from feedgate_tools.issuer.app import IssuingRealm, create_app
from feedgate_tools.issuer.persons import demo_accounts
from feedgate_tools.issuer.server import Person

FILE = "issuer.json"
AUDIENCE = "feedgate"
OTHER_AGENCY = "harbour-police"
REALMS: Mapping[str, Realm] = {"owners": "owners", "services": "services"}
"""Of the others' paths, each is an agency's."""

LIFETIME_S: Final = 40
"""Of a token, so that every fault of the issuer meets people and services who need another."""


class LastingIssuer:
    """All realms, with keys and secrets that a file keeps."""

    def __init__(self, port: int, realms: Mapping[str, IssuingRealm]) -> None:
        self.port = port
        self.realms = realms

    @classmethod
    def create(cls, folder: Path, port: int, agency: str) -> Self:
        """New keys and secrets, kept in a file of the folder."""
        accounts = demo_accounts(agency, OTHER_AGENCY)
        kept = {
            "port": port,
            "agency": agency,
            "secrets": {account.name: account.secret for account in accounts},
            "keys": {path: _private_bytes().hex() for path in _paths(agency)},
        }
        (folder / FILE).write_text(json.dumps(kept), encoding="utf-8")
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Those of an earlier start."""
        kept: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        accounts = [
            replace(account, secret=kept["secrets"][account.name])
            for account in demo_accounts(kept["agency"], OTHER_AGENCY)
        ]
        realms = {}
        for path in _paths(kept["agency"]):
            issuer = LocalIssuer(
                Ed25519PrivateKey.from_private_bytes(bytes.fromhex(kept["keys"][path])),
                f"http://127.0.0.1:{kept['port']}/realms/{path}",
                SystemClock(),
                realm=REALMS.get(path, "agency"),
                agency=path.removeprefix("agency-") if path.startswith("agency-") else None,
                audience=AUDIENCE,
                lifetime_s=LIFETIME_S,
            )
            issuer.kid = f"{path}-1"
            realms[path] = IssuingRealm(issuer, [one for one in accounts if one.realm_path == path])
        return cls(kept["port"], realms)

    def issuers_config(self) -> list[IssuerConfig]:
        """What a service needs to believe its tokens: addresses, whose keys it fetches by discovery."""
        return [
            IssuerConfig(
                issuer=realm.issuer.issuer,
                realm=realm.issuer.realm,
                agency=realm.issuer.agency,
                audience=AUDIENCE,
                algorithms=frozenset({realm.issuer.algorithm}),
            )
            for realm in self.realms.values()
        ]

    def agency_issuer(self, agency: str) -> str:
        return self.realms[f"agency-{agency}"].issuer.issuer

    def person(self, name: str) -> Person:
        """One of the demo's people or accounts.

        Raises:
            KeyError: there is nobody of that name.
        """
        for realm in self.realms.values():
            for account in realm.accounts:
                if account.name == name:
                    return Person(account, realm.issuer.issuer, SystemClock())
        raise KeyError(name)


def _paths(agency: str) -> list[str]:
    return [*REALMS, f"agency-{agency}", f"agency-{OTHER_AGENCY}"]


def _private_bytes() -> bytes:
    raw, none = serialization.Encoding.Raw, serialization.NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(raw, serialization.PrivateFormat.Raw, none)


async def serve(folder: Path) -> None:
    """Serve until told to stop."""
    issuer = LastingIssuer.read(folder)
    listener = open_listener(Listen("127.0.0.1", issuer.port, "host", "port"))
    server = Server(create_app(issuer.realms), "none", shutdown_s=1.0)
    with stop_signals() as stopped:
        async with serving([server], [listener]):
            await stopped()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
