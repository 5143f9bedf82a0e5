"""The gateway as it is deployed: nginx with `deploy/gateway`, on a loopback port of its own."""

import os
import re
import signal
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.servers.certificates import CertificateAuthority
from tests.servers.machine import REPOSITORY
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

CONFIGURATION: Final = REPOSITORY / "deploy" / "gateway"
NOBODY: Final = "127.0.0.1:1"

# nginx's workers outlive a master that was killed; a namespace of processes ends with its first one.
_ENDED_WHOLE: Final = ("unshare", "--pid", "--fork", "--kill-child")


class Gateway:
    """One origin before several services.

    The configuration is the deployed one but for names of Docker's DNS, files and the port.
    """

    def __init__(self, folder: Path, at: Mapping[str, str], relays: Sequence[str]) -> None:
        """Prepare.

        Args:
            folder: for certificates, addresses and logs; empty.
            at: `host:port` by name, as in `gateway_addresses`.
            relays: likewise.
        """
        self.folder = folder
        self.port = free_port()
        self._authority = CertificateAuthority(folder)
        self.ca_file = self._authority.ca_file
        self.replace_certificate()
        addresses = (CONFIGURATION / "addresses.conf").read_text(encoding="utf-8")
        (folder / "addresses.conf").write_text(gateway_addresses(addresses, at, relays), encoding="utf-8")
        file = folder / "nginx.conf"
        deployed = (CONFIGURATION / "nginx.conf").read_text(encoding="utf-8")
        file.write_text(on_loopback(deployed, folder, self.port), encoding="utf-8")
        as_oneself = () if os.geteuid() == 0 else ("--user", "--map-current-user")
        self.process = ServerProcess(
            "nginx",
            [*_ENDED_WHOLE, *as_oneself, "nginx", "-e", "/dev/stderr", "-c", file, "-g", "daemon off;"],
            folder / "nginx.log",
        )

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """What a client needs to believe it."""
        return ssl.create_default_context(cafile=self.ca_file)

    def start(self) -> None:
        """Return when it accepts connections.

        Raises:
            ServerFailedError: it does not.
        """
        self.process.start()
        self.process.wait_until(self._accepts)

    def replace_certificate(self) -> str:
        """Put another one of the same authority in its place; the certificate."""
        issued = self._authority.issue("gateway").read_text(encoding="ascii")
        for name in ("tls.pem", "tls.key"):
            (self.folder / name).write_text(issued, encoding="ascii")
        return issued[issued.index("-----BEGIN CERTIFICATE-----") :]

    def reload(self) -> None:
        """Have nginx read its files again: SIGHUP to the first of its processes."""
        unshare = self.process.pid
        [nginx] = Path(f"/proc/{unshare}/task/{unshare}/children").read_text(encoding="ascii").split()
        os.kill(int(nginx), signal.SIGHUP)

    def end(self) -> None:
        self.process.kill()

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def gateway_addresses(text: str, at: Mapping[str, str], relays: Sequence[str]) -> str:
    """The gateway's `addresses.conf` with addresses instead of names, for want of a DNS server.

    Args:
        text: the file.
        at: `host:port` of every name; of one that is missing nobody answers.
        relays: the names that `relay.public` stands for.
    """
    text = re.sub(r"^resolver .*$", "", text, flags=re.MULTILINE)
    servers = " ".join(f"server {at[relay]};" for relay in relays)
    text = text.replace("relay.public:8080", "relays")
    text = re.sub(r"([\w.-]+\.public):8080", lambda found: at.get(found[1], NOBODY), text)
    return f"{text}\nupstream relays {{ {servers} }}\n"


def on_loopback(text: str, folder: Path, port: int) -> str:
    """The gateway's `nginx.conf` with every file in one folder, listening on one loopback port."""
    instead = {
        "listen [::]:8443 ssl http2 sndbuf=64k;": "",
        "listen 8443 ": f"listen 127.0.0.1:{port} ",
        "/etc/feedgate/": f"{folder}/",
        "/run/feedgate/": f"{folder}/",
        "/tmp/": f"{folder}/",
    }
    for seen in instead:
        assert seen in text, seen
    # In one pass: what was put in is not looked at again.
    return re.sub("|".join(map(re.escape, instead)), lambda found: instead[found[0]], text)
