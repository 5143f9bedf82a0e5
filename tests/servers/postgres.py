"""One PostgreSQL server, and databases in it that live as long as one test."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.servers.machine import postgres_programs
from tests.servers.ports import free_port
from tests.servers.process import ServerFailedError, ServerProcess

SUPERUSER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # The disk is the test's own and goes with it; a killed server still recovers from the kernel's cache.
    "fsync": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True, slots=True)
class SeparatedDatabase:
    """A database whose tables belong to one role and are used by another."""

    name: str
    owner_role: str
    owner_url: str
    running_role: str
    running_url: str


class PostgresServer:
    """A server with trust authentication on a loopback port."""

    def __init__(self) -> None:
        programs = postgres_programs()
        if programs is None:
            raise ServerFailedError("PostgreSQL is not installed")
        self.port = free_port()
        self._programs = programs
        # Not under pytest's own folder: user postgres may not pass through it.
        self.folder = Path(tempfile.mkdtemp(prefix="feedgate-postgres-"))
        self.user = server_user()
        if self.user is not None:
            shutil.chown(self.folder, self.user, self.user)
        self.data = self.folder / "data"
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        self.process = ServerProcess(
            "postgres",
            [
                programs / "postgres",
                *("-D", self.data),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            self.folder / "server.log",
            user=self.user,
            # Fast shutdown: sessions are cut, data are kept.
            ends_on=signal.SIGINT,
        )

    def start(self) -> None:
        """Return when the server takes connections."""
        if not self.data.exists():
            self._initialise()
        self.process.start()
        self.wait()

    def wait(self) -> None:
        """Return when the server takes connections."""
        self.process.wait_until(self._takes_connections)

    def restart(self) -> None:
        """Start it again on its port and data, ending it first if it still runs."""
        self.process.end()
        self.start()

    def end(self) -> None:
        """End it and remove its data."""
        self.process.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, owner: str = SUPERUSER) -> str:
        """The name of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
        return name

    def drop_database(self, name: str) -> None:
        """Remove it, cutting whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def create_separated_database(self) -> SeparatedDatabase:
        """A database for the owning role, which the running role may only connect to."""
        mark = uuid.uuid4().hex
        owner, running = f"owner_{mark}", f"running_{mark}"
        for role in (owner, running):
            self.execute(f'CREATE ROLE "{role}" LOGIN')
        name = self.create_database(owner)
        self.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
        self.execute(f'GRANT CONNECT ON DATABASE "{name}" TO "{running}"')
        return SeparatedDatabase(
            name=name,
            owner_role=owner,
            owner_url=self.url(name, owner),
            running_role=running,
            running_url=self.url(name, running),
        )

    def drop_separated_database(self, database: SeparatedDatabase) -> None:
        self.drop_database(database.name)
        for role in (database.owner_role, database.running_role):
            self.execute(f'DROP ROLE "{role}"')

    def url(self, database: str, role: str = SUPERUSER) -> str:
        return f"postgresql+asyncpg://{role}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as superuser and return what `psql -At` prints."""
        done = subprocess.run(
            [
                *(str(self._programs / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"),
                *("-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER, "-d", database),
                *("-c", statement),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerFailedError(f"`{statement}`: {done.stderr.strip()}")
        return done.stdout.strip()

    def _initialise(self) -> None:
        initdb = ServerProcess(
            "initdb",
            [
                *(self._programs / "initdb", "-D", self.data, "-U", SUPERUSER),
                *("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            self.folder / "initdb.log",
            user=self.user,
        )
        initdb.start()
        if initdb.wait(timeout_s=60):
            raise ServerFailedError(f"initdb failed:\n{initdb.last_words()}")

    def _takes_connections(self) -> bool:
        asked = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0


def server_user() -> str | None:
    """Whom the server runs as when that cannot be us: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam("postgres").pw_name
