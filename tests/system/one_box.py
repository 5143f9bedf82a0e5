"""`feedgate up` in a process of its own, on free ports, believing a development issuer."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from feedgate_tools.demo.story import Cast, People
from feedgate_tools.issuer import DevelopmentIssuer
from tests.servers.process import ServerProcess

AGENCY = "metro-police"
POOL = "local"
FEEDGATE = Path(sys.executable).with_name("feedgate")
START_TIMEOUT_S = 90.0
"""Five services are imported first, which on a busy machine takes its time."""


class OneBox:
    """One data folder, and the process on it."""

    def __init__(
        self,
        folder: Path,
        issuer: DevelopmentIssuer,
        environment: Mapping[str, str] | None = None,
        *,
        names_data: bool = True,
    ) -> None:
        """Prepare.

        Args:
            folder: for settings, logs and the data folder.
            issuer: lives in the test's loop; ask nothing of the box that needs a token while that is held up.
            environment: further variables.
            names_data: say `--data`; else the data folder is the user's, which `environment` names.
        """
        self.folder = folder
        self.issuer = issuer
        self.environment = {**os.environ, **write_files(folder, issuer), **(environment or {})}
        self.data = folder / "data" if names_data else Path(self.environment["XDG_DATA_HOME"]) / "feedgate"
        self._arguments: list[str | Path] = ["--data", self.data] if names_data else []
        self.starts = 0
        self.process: ServerProcess

    def start(self) -> None:
        """Start it, and return at once."""
        self.starts += 1
        self.process = ServerProcess(
            "feedgate up",
            [FEEDGATE, "up", *self._arguments],
            self.folder / f"{self.starts}.log",
            environment=self.environment,
        )
        self.process.start()

    def start_ready(self) -> None:
        """Start it, and return when it waits for nothing."""
        self.start()
        self.process.wait_until(self._is_ready, START_TIMEOUT_S)

    def stop(self) -> int:
        """Ask it to end; its status."""
        self.process.end()
        return self.process.wait(0.0)

    @property
    def public(self) -> str:
        """Public origin."""
        return str(self._serving()["public"])

    @property
    def internal(self) -> str:
        """Internal origin."""
        return str(self._serving()["internal"])

    def log_lines(self) -> list[dict[str, Any]]:
        """What this process logged, an object per line."""
        if not self.process.log.exists():
            return []
        # The last line may still be being written.
        whole = self.process.log.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def people(self, http: httpx.AsyncClient) -> People:
        """The story's people, speaking through `http`."""
        person = self.issuer.person
        cast = Cast(
            owner=person("owner").token_source(),
            operator=person("operator").token_source(),
            supervisor=person("supervisor").token_source(),
            developer=person("agency-system").token_source(),
        )
        return People(http, cast, agency=AGENCY, pool=POOL)

    def _serving(self) -> dict[str, Any]:
        return next(line for line in self.log_lines() if line["event"] == "serving")

    def _is_ready(self) -> bool:
        if not any(line["event"] == "serving" for line in self.log_lines()):
            return False
        try:
            return httpx.get(f"{self.internal}/readyz").is_success
        except httpx.TransportError:
            return False


def write_files(folder: Path, issuer: DevelopmentIssuer) -> dict[str, str]:
    """Write both files a box needs; the settings that name them and take free ports."""
    agency = {
        "id": AGENCY,
        "name": "Metro Police",
        "jurisdiction": "AR",
        "issuer": issuer.agency_issuer(AGENCY),
    }
    issuers = [
        config.model_dump(mode="json", exclude_none=True)
        for config in issuer.issuers_config()
        if config.agency in {None, AGENCY}
    ]
    folder.mkdir(exist_ok=True)
    for name, content in (("agencies", [agency]), ("issuers", issuers)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return {
        "FEEDGATE_UP_ISSUERS_FILE": str(folder / "issuers.yaml"),
        "FEEDGATE_UP_AGENCIES_FILE": str(folder / "agencies.yaml"),
        "FEEDGATE_UP_ALLOWED_NETWORKS": '["127.0.0.1/32"]',
        "FEEDGATE_UP_PUBLIC_PORT": "0",
        "FEEDGATE_UP_INTERNAL_PORT": "0",
    }
