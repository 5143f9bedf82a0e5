"""Prometheus and Alertmanager with the configurations in `deploy`, but for addresses and pace."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.servers.machine import REPOSITORY
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

DEPLOY = REPOSITORY / "deploy"
PACE = "500ms"
"""Between two scrapes, and two looks at the rules; `deploy` says 2 s."""
HASTE = "1s"
"""How long a condition must hold before its alert fires, whatever the rule says."""
WEBHOOK = "http://127.0.0.1:9095/alerts"
TOKEN_FILE = "/etc/alertmanager/webhook-token"


def hastened(rules: str) -> str:
    """The same rules with every `for:` at `HASTE`; nothing else is changed."""
    return re.sub(r"^( +for:) .*$", rf"\1 {HASTE}", rules, flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and values by time."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Prometheus:
    """Scrapes the given targets and looks at the rules in `deploy`, hastened."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]], alertmanager_port: int) -> None:
        """Prepare.

        Args:
            folder: for configuration, data and log.
            targets: `host:port` by job; the jobs are those that `deploy` names.
            alertmanager_port: where alerts go.
        """
        self.port = free_port()
        config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = dict.fromkeys(config["global"], PACE)
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{alertmanager_port}"
        ]
        (folder / "rules").mkdir()
        for file in (DEPLOY / "prometheus/rules").glob("*.yml"):
            (folder / "rules" / file.name).write_text(
                hastened(file.read_text(encoding="utf-8")), encoding="utf-8"
            )
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.process = ServerProcess(
            "prometheus",
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
            ],
            folder / "prometheus.log",
        )
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}/api/v1")

    def start(self) -> None:
        """Return when it answers questions."""
        self.process.start()
        self.process.wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/-/ready"))

    async def close(self) -> None:
        await self.http.aclose()
        self.process.end()

    async def query(self, expr: str, at_s: float | None = None) -> list[Series]:
        """The answer at one moment."""
        asked = {"query": expr, "time": time.time() if at_s is None else at_s}
        data = await self._ask("/query", asked)
        return [Series(each["metric"], points([each["value"]])) for each in data["result"]]

    async def query_range(self, expr: str, from_s: float, until_s: float) -> list[Series]:
        """The answers at every full quarter of a second between two moments."""
        asked = {"query": expr, "start": round(from_s * 4) / 4, "end": until_s, "step": 0.25}
        data = await self._ask("/query_range", asked)
        return [Series(each["metric"], points(each["values"])) for each in data["result"]]

    async def labels_of(self, metric: str) -> set[str]:
        """The labels that a metric's series had so far; none if it had no series."""
        labels: set[str] = set()
        for series in await self._ask("/series", {"match[]": metric}):
            labels |= series.keys()
        return labels

    async def _ask(self, path: str, asked: Mapping[str, Any]) -> Any:
        answer = (await self.http.get(path, params=asked)).json()
        assert answer["status"] == "success", f"{asked}: {answer}"
        return answer["data"]


class Alertmanager:
    """Sends what it hears to a webhook of the test's own."""

    def __init__(self, folder: Path, webhook: str, token: str) -> None:
        """Prepare: the configuration in `deploy` with this webhook and this token's file."""
        self.port = free_port()
        text = (DEPLOY / "alertmanager/alertmanager.yml").read_text(encoding="utf-8")
        assert WEBHOOK in text
        assert TOKEN_FILE in text
        token_file = folder / "webhook-token"
        token_file.write_text(token, encoding="utf-8")
        config = folder / "alertmanager.yml"
        config.write_text(
            text.replace(WEBHOOK, webhook).replace(TOKEN_FILE, str(token_file)), encoding="utf-8"
        )
        self.process = ServerProcess(
            "alertmanager",
            [
                "prometheus-alertmanager",
                f"--config.file={config}",
                f"--storage.path={folder / 'alertmanager-data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            folder / "alertmanager.log",
        )

    def start(self) -> None:
        """Return when it takes alerts."""
        self.process.start()
        self.process.wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/-/ready"))

    def end(self) -> None:
        self.process.end()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def points(values: Iterable[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(at_s, float(value)) for at_s, value in values]
