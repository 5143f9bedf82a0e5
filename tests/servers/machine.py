"""What this machine has of what a test may need."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SERVERS = Path(os.environ.get("FEEDGATE_SERVERS", REPOSITORY / ".servers"))
"""Where `make servers` keeps what no Debian package holds."""

KAFKA_JARS = SERVERS / "kafka" / "lib"
DEBIAN_PYTHON = Path("/usr/bin/python3")
"""GStreamer's bindings are a Debian package, so only Debian's own interpreter has them."""

GSTREAMER_PLUGINS = ("libgstx264.so", "libgstx265.so", "libgstrtsp.so", "libgstrtp.so", "libgstlibav.so")


def keycloak_distribution() -> Path | None:
    """The folder that holds its `bin` and `lib`."""
    found = sorted(SERVERS.glob("keycloak/keycloak-*/bin/kc.sh"))
    return found[-1].parents[1] if found else None


def missing_keycloak() -> str | None:
    if shutil.which("java") is None:
        return "no `java`"
    return None if keycloak_distribution() else f"no Keycloak in {SERVERS / 'keycloak'}"


def missing_kafka() -> str | None:
    if shutil.which("java") is None:
        return "no `java`"
    if not (KAFKA_JARS / ".pom.xml").exists():
        return f"no Kafka jars in {KAFKA_JARS}"
    return None


def postgres_programs() -> Path | None:
    """The folder of the newest server's `initdb`, which Debian keeps off PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda program: int(program.parts[-3])
    )
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def missing_postgres() -> str | None:
    if postgres_programs() is None:
        return "no `initdb`"
    return None if shutil.which("setpriv") else "no `setpriv`"


def chromium() -> Path | None:
    found = shutil.which("chromium")
    return Path(found) if found else None


def missing_chromium() -> str | None:
    if chromium() is None:
        return "no `chromium`"
    return None if Path("/usr/share/fonts/truetype/dejavu").is_dir() else "no DejaVu fonts"


def missing_gstreamer() -> str | None:
    library = next(Path("/usr/lib").glob("*/gstreamer-1.0"), None)
    if library is None:
        return "no GStreamer plugins"
    absent = [plugin for plugin in GSTREAMER_PLUGINS if not (library / plugin).exists()]
    if absent:
        return f"no {absent[0]}"
    if not any(Path("/usr/lib").glob("*/girepository-1.0/GstRtspServer-1.0.typelib")):
        return "no gir1.2-gst-rtsp-server-1.0"
    return None if DEBIAN_PYTHON.exists() else f"no {DEBIAN_PYTHON}"


def missing_gstreamer_client() -> str | None:
    return missing_gstreamer() or (None if shutil.which("gst-launch-1.0") else "no `gst-launch-1.0`")


def missing_jdk() -> str | None:
    return None if shutil.which("javac") else "no `javac`"


def missing_kcat() -> str | None:
    return None if shutil.which("kcat") else "no `kcat`"


def missing_ffmpeg() -> str | None:
    return None if shutil.which("ffmpeg") else "no `ffmpeg`"


def missing_prometheus() -> str | None:
    programs = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
    return next((f"no `{program}`" for program in programs if shutil.which(program) is None), None)


def faketime_library() -> Path | None:
    """The variant for programs with threads."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def missing_faketime() -> str | None:
    return None if faketime_library() else "no libfaketime"


def missing_nginx() -> str | None:
    programs = ("nginx", "unshare")
    return next((f"no `{program}`" for program in programs if shutil.which(program) is None), None)


def missing_docker() -> str | None:
    """An engine of the tests' own, and a base for images: both need root."""
    if os.geteuid() != 0:
        return "not root"
    programs = ("dockerd", "docker", "docker-compose", "debootstrap")
    absent = [program for program in programs if not shutil.which(program)]
    return f"no `{absent[0]}`" if absent else None


def missing_isolation() -> str | None:
    """Namespaces of a test's own, with a packet filter: both need root."""
    if os.geteuid() != 0:
        return "not root"
    programs = ("unshare", "ip", "iptables", "mount", "setpriv")
    return next((f"no `{program}`" for program in programs if shutil.which(program) is None), None)


NEEDS: Mapping[str, Callable[[], str | None]] = {
    "kafka": missing_kafka,
    "keycloak": missing_keycloak,
    "postgres": missing_postgres,
    "chromium": missing_chromium,
    "gstreamer": missing_gstreamer,
    "gstreamer-client": missing_gstreamer_client,
    "ffmpeg": missing_ffmpeg,
    "jdk": missing_jdk,
    "kcat": missing_kcat,
    "faketime": missing_faketime,
    "prometheus": missing_prometheus,
    "nginx": missing_nginx,
    "docker": missing_docker,
    "isolation": missing_isolation,
}
"""Each need and the question that answers what is missing, or None when nothing is."""


def missing(need: str) -> str | None:
    return NEEDS[need]()
