"""Certificates and authorities that are replaced in their files while a service runs."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvloop
from cryptography import x509
from prometheus_client import CollectorRegistry

from feedgate_kit.bus.kafka_settings import KafkaSecurity
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.metrics import show_certificates
from feedgate_kit.server import running
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.trust import CertificateError, ServerCertificate, load_trust
from tests.servers.certificates import CertificateAuthority

ANY = Listen("127.0.0.1", 0)


def authority(folder: Path) -> CertificateAuthority:
    folder.mkdir()
    return CertificateAuthority(folder)


def put(file: Path, *parts: Path) -> None:
    """As whoever replaces a file should: whole, in one move."""
    replaced = file.with_suffix(".new")
    replaced.write_bytes(b"".join(part.read_bytes() for part in parts))
    replaced.replace(file)


@pytest.mark.sockets
def test_a_port_shows_and_a_caller_believes_what_their_files_hold_now(tmp_path: Path) -> None:
    last, coming = authority(tmp_path / "last"), authority(tmp_path / "coming")
    shown, believed = tmp_path / "shown.pem", tmp_path / "believed.pem"
    put(shown, last.issue("shop", valid_for=timedelta(hours=1)))
    put(believed, last.ca_file)

    async def drill() -> None:
        verifier = TokenVerifier([], SteppedClock())
        public, internal = create_public_app("shop", verifier), create_internal_app("shop", verifier)
        service = Service(name="shop", public=public, internal=internal, registry=CollectorRegistry())
        trust = load_trust(believed, "CA_FILE")
        kafka = KafkaSecurity(ca_file=believed).tls
        async with running(
            service, ANY, ANY, shutdown_s=1, internal_tls=ServerCertificate(shown, shown)
        ) as addresses:
            port = addresses.internal.port

            async def answers() -> bool:
                """Whether both kinds of caller believe the port now."""
                try:
                    async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
                        assert (await http.get(f"https://127.0.0.1:{port}/healthz")).is_success
                    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=kafka)
                    writer.close()
                    await writer.wait_closed()
                except (httpx.ConnectError, ssl.SSLError):
                    return False
                return True

            async with httpx.AsyncClient(verify=trust, trust_env=False) as kept:
                url = f"https://127.0.0.1:{port}/healthz"
                assert (await kept.get(url)).is_success
                assert await answers()
                put(believed, last.ca_file, coming.ca_file)  # 1. both are believed
                assert await answers()
                put(shown, coming.issue("shop"))  # 2. the new one is shown
                assert await answers()
                put(believed, last.ca_file)
                assert not await answers(), "it is the new one's certificate"
                put(believed, coming.ca_file)  # 3. the last one is believed no more
                assert await answers()
                put(shown, last.ca_file)
                assert await answers(), "a file without a key leaves what was shown"
                put(shown, last.issue("shop"))
                assert not await answers()
                assert (await kept.get(url)).is_success, "a connection that is open goes on"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # what services run on
        runner.run(drill())


def test_a_file_that_was_never_of_use_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate", encoding="utf-8")
    with pytest.raises(CertificateError, match=r"CA_FILE: .* holds no PEM certificate"):
        load_trust(file, "CA_FILE")


def test_the_metric_tells_of_the_file_as_it_is(tmp_path: Path) -> None:
    registry, file = CollectorRegistry(), tmp_path / "it.pem"
    root = authority(tmp_path / "root")
    put(file, root.issue("it", valid_for=timedelta(hours=1)))
    show_certificates(registry, {"CA_FILE": file})

    def shown() -> float | None:
        return registry.get_sample_value(
            "tls_certificate_not_after_timestamp_seconds", {"setting": "CA_FILE"}
        )

    first = shown()
    put(file, root.issue("it", valid_for=timedelta(hours=5)))
    second = shown()
    end = x509.load_pem_x509_certificates(file.read_bytes())[0].not_valid_after_utc
    assert first is not None
    assert second == end.timestamp() > first > datetime.now(UTC).timestamp()
    file.unlink()
    assert str(shown()) == "nan"
