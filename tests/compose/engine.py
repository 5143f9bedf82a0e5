"""A Docker engine of the tests' own, without a bridge: it changes nothing of the machine's network."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.servers.machine import SERVERS
from tests.servers.process import ServerProcess

BASE: Final = "feedgate-test/base"
JAVA: Final = "feedgate-test/java"
CACHED_BASE: Final = SERVERS / "compose" / "base.tar"
CERTIFICATES: Final = Path("/etc/ssl/certs")
PIP_SETTINGS: Final = Path("/etc/pip.conf")
MACHINE_CHOICES: Final = ("SSL_CERT_FILE", "PIP_CERT", "http_proxy", "https_proxy", "no_proxy")
"""Variables by which this machine says how it reaches packages; they go into the base image alone."""


class EngineError(Exception):
    """The engine, or something asked of it, failed; the message ends with its last words."""


class Engine:
    """`dockerd`, and its client."""

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: for everything it keeps; short, because a socket's path is.
        """
        self.folder = folder
        self.socket = f"unix://{folder}/docker.sock"
        self.process = ServerProcess(
            "dockerd",
            [
                *("dockerd", "--host", self.socket, "--pidfile", folder / "pid"),
                *("--data-root", folder / "data", "--exec-root", folder / "exec"),
                *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            ],
            folder / "dockerd.log",
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": self.socket,
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }

    def start(self) -> None:
        """Return when it answers."""
        self.process.start()
        self.process.wait_until(lambda: self._client("info").returncode == 0)

    def end(self) -> None:
        """End every container, the engine, and unmount what it left."""
        if self.process.running:
            containers = self._client("ps", "--all", "--quiet").stdout.split()
            if containers:
                self._client("rm", "--force", "--volumes", *containers)
        self.process.end(timeout_s=30.0)
        for mount in _mounts_below(self.folder):
            subprocess.run(["umount", "--lazy", mount], check=False)

    def docker(self, *arguments: str, stdin: Path | None = None, timeout_s: float = 600.0) -> str:
        """Standard output of the client.

        Raises:
            EngineError: it failed.
        """
        return self._checked(["docker", *arguments], stdin=stdin, timeout_s=timeout_s)

    def compose(self, project: Sequence[str], *arguments: str, environment: Mapping[str, str]) -> str:
        """Standard output of docker-compose.

        Raises:
            EngineError: it failed.
        """
        return self._checked(
            ["docker-compose", *project, *arguments], environment=environment, timeout_s=600.0
        )

    def build(self, image: str, context: Path, dockerfile: Path, **arguments: str) -> None:
        """One image. Its context is what `.dockerignore` there leaves."""
        target = arguments.pop("target", None)
        self.docker(
            *("build", "--quiet", "--network", "host", "--tag", image, "--file", str(dockerfile)),
            *(["--target", target] if target else []),
            *(part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")),
            str(context),
        )

    def import_base(self) -> None:
        """A stand-in for python:3.11-slim, out of Debian's packages; made once and kept."""
        if not CACHED_BASE.exists():
            make_base(self.folder / "base", CACHED_BASE)
        choices = [f"ENV {name}={os.environ[name]}" for name in MACHINE_CHOICES if os.environ.get(name)]
        path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.docker(
            "import",
            *(part for change in (path, *choices) for part in ("--change", change)),
            *("-", BASE),
            stdin=CACHED_BASE,
        )

    def _client(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments], env=self.environment, capture_output=True, text=True, check=False
        )

    def _checked(
        self,
        command: Sequence[str],
        *,
        stdin: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> str:
        with (stdin or Path(os.devnull)).open("rb") as source:
            done = subprocess.run(
                command,
                env={**self.environment, **(environment or {})},
                stdin=source,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
            )
        if done.returncode:
            words = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            raise EngineError(f"`{' '.join(command[:4])} …` ended with {done.returncode}:\n{words}")
        return done.stdout


def make_base(folder: Path, archive: Path) -> None:
    """Debian with Python, and this machine's own way to packages: its certificates and pip's settings."""
    _run(
        "debootstrap",
        "--variant=minbase",
        "--include=python3,python3-pip,python3-venv,ca-certificates",
        _release(),
        str(folder),
        _mirror(),
    )
    certificates = folder / CERTIFICATES.relative_to("/")
    shutil.rmtree(certificates)  # links that would lead out of the folder, to this machine's own
    shutil.copytree(CERTIFICATES, certificates, ignore_dangling_symlinks=True)
    if PIP_SETTINGS.exists():
        shutil.copy(PIP_SETTINGS, folder / PIP_SETTINGS.relative_to("/"))
    for name in ("python", "python3"):
        (folder / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        tar.add(folder, arcname=".")
    part.replace(archive)
    shutil.rmtree(folder)


def _release() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME="))


def _mirror() -> str:
    """Where this machine's own packages come from."""
    release = _release()
    for line in _run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)").splitlines():
        site, _, suite = line.partition(" ")
        if suite == release:
            return site
    raise EngineError(f"apt knows no source of {release}")


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"`{command[0]}` failed:\n{done.stderr or done.stdout[-2000:]}")
    return done.stdout


def _mounts_below(folder: Path) -> list[str]:
    """Deepest first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    found = [line.split()[1] for line in lines]
    return sorted((mount for mount in found if mount.startswith(f"{folder}/")), reverse=True)


def inspected(engine: Engine, name: str, template: str) -> Any:
    """What `docker inspect` says of one thing."""
    return engine.docker("inspect", "--format", template, name).strip()
