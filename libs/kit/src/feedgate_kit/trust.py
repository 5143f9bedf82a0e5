"""Whose TLS certificates count, and until when."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509

from feedgate_kit.errors import FeedgateError

Trust = ssl.SSLContext | bool
"""What httpx takes as `verify`."""

SYSTEM_TRUST: Final[Trust] = True


class CertificateError(FeedgateError):
    """A file of certificates cannot be used; names its setting."""


def load_trust(ca_file: Path | None, setting: str) -> Trust:
    """The system's authorities and those of `ca_file`.

    Args:
        ca_file: PEM certificates; None for the system's alone.
        setting: where the file is named.

    Raises:
        CertificateError: it cannot be read, holds no certificate, or none that is in date.
    """
    if ca_file is None:
        return SYSTEM_TRUST
    not_after(ca_file, setting)
    context = httpx.create_ssl_context()
    context.load_verify_locations(cafile=ca_file)
    return context


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows its callers; loaded once, so that a file which cannot be used ends the start."""

    certificate_file: Path
    key_file: Path


def load_server_tls(certificate_file: Path, key_file: Path, setting: str) -> ServerTls:
    """A server's certificate and key.

    Args:
        certificate_file: PEM, the server's own first.
        key_file: PEM.
        setting: where the certificate is named.

    Raises:
        CertificateError: they cannot be read, do not fit each other, or the certificate is not in date.
    """
    not_after(certificate_file, setting)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file)
    except OSError as error:  # ssl.SSLError is one
        raise CertificateError(
            f"{setting}: `{certificate_file}` and the key `{key_file}` cannot be used together:"
            f" {error.strerror or error}"
        ) from error
    return ServerTls(certificate_file, key_file)


def not_after(file: Path, setting: str, now: datetime | None = None) -> datetime:
    """Until when at least one certificate of a PEM file is in date.

    A file may hold the last authority beside the next one, so one that is over harms nobody while another counts.

    Raises:
        CertificateError: it cannot be read, holds no certificate, or none that is in date.
    """
    now = now or datetime.now(UTC)
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        raise CertificateError(f"{setting}: `{file}` cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CertificateError(f"{setting}: `{file}` holds no PEM certificate") from error
    in_date = [
        each.not_valid_after_utc
        for each in certificates
        if each.not_valid_before_utc <= now < each.not_valid_after_utc
    ]
    if not in_date:
        newest = max(certificates, key=lambda each: each.not_valid_after_utc)
        raise CertificateError(
            f"{setting}: `{file}` is valid from {_day(newest.not_valid_before_utc)} until"
            f" {_day(newest.not_valid_after_utc)}; allowed: a certificate that is in date now, {_day(now)}"
        )
    return max(in_date)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")
