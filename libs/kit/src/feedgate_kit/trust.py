"""Whose TLS certificates count, and until when."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

import httpx
from cryptography import x509

from feedgate_kit.errors import OperatorError
from feedgate_kit.followed import Followed

_ALLOWED: Final = "allowed: a PEM file of certificates"

Trust = ssl.SSLContext
"""What httpx takes as `verify`."""


class CertificateError(OperatorError):
    """A file of certificates cannot be used; names its setting."""


class FollowedContext(ssl.SSLContext):
    """A TLS context made of files; a connection that begins after they changed is made with what they hold then.

    Connections that are open go on. Files that cannot be used leave the last context in force.
    What is set on this object, or read from it, is not what connections are made with: `make` decides all of it.
    """

    def __new__(cls, protocol: int, make: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> Self:
        """As its base is made: by the protocol alone."""
        del make, files
        return super().__new__(cls, protocol)

    def __init__(self, protocol: int, make: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> None:
        """Read the files.

        Args:
            protocol: `ssl.PROTOCOL_TLS_CLIENT` or `ssl.PROTOCOL_TLS_SERVER`.
            make: reads them.
            files: as in `Followed`.

        Raises:
            FeedgateError, OSError: from `make`.
        """
        del protocol
        self._followed = Followed(make, files)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """One connection, as asyncio, uvloop and anyio begin theirs."""
        return self._followed.current().wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """The same of a program without an event loop."""
        return self._followed.current().wrap_socket(*args, **kwargs)


@cache
def system_trust() -> Trust:
    """The public authorities that httpx brings (certifi's), or those of `SSL_CERT_FILE`.

    Read once: a context is 20 ms of work and 0.8 MiB, too much for each call.
    """
    return httpx.create_ssl_context()


def load_trust(ca_file: Path | None, setting: str) -> Trust:
    """The system's authorities and those of `ca_file`, whose changes are followed.

    Args:
        ca_file: PEM certificates; None for the system's alone.
        setting: where the file is named.

    Raises:
        CertificateError: it cannot be read, holds no certificate, or none that is in date.
    """
    if ca_file is None:
        return system_trust()

    def make() -> ssl.SSLContext:
        refuse_out_of_date(ca_file, setting)
        context = httpx.create_ssl_context()
        context.load_verify_locations(cafile=ca_file)
        return context

    return FollowedContext(ssl.PROTOCOL_TLS_CLIENT, make, [ca_file])


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a listening port proves itself with."""

    certificate_file: Path
    key_file: Path


def load_server_certificate(
    certificate_file: Path, key_file: Path, certificate_setting: str, key_setting: str
) -> ServerCertificate:
    """A certificate and its key, tried.

    Raises:
        CertificateError: the certificate is not in date, or the key is not its own.
    """
    refuse_out_of_date(certificate_file, certificate_setting)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file)
    except OSError as error:  # of which ssl's own are
        seen = "not the certificate's key" if isinstance(error, ssl.SSLError) else error.strerror
        raise CertificateError(
            f"{key_setting}: saw `{key_file}` ({seen}); allowed: the private key of {certificate_setting}, PEM"
        ) from error
    return ServerCertificate(certificate_file, key_file)


def refuse_out_of_date(file: Path, setting: str) -> None:
    """Refuse a PEM file of which no certificate is in date.

    A file may hold the last authority beside the next one, so one that is over harms nobody while another counts.

    Raises:
        CertificateError: it cannot be read, holds no certificate, or none that is in date.
    """
    now = datetime.now(UTC)
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        raise CertificateError(f"{setting}: `{file}` cannot be read: {error.strerror}; {_ALLOWED}") from error
    except ValueError as error:
        raise CertificateError(f"{setting}: `{file}` holds no PEM certificate; {_ALLOWED}") from error
    if not any(each.not_valid_before_utc <= now < each.not_valid_after_utc for each in certificates):
        newest = max(certificates, key=lambda each: each.not_valid_after_utc)
        raise CertificateError(
            f"{setting}: `{file}` is valid from {_day(newest.not_valid_before_utc)} until"
            f" {_day(newest.not_valid_after_utc)}; allowed: a certificate that is in date now, {_day(now)}"
        )


def not_after(file: Path) -> datetime | None:
    """When the last certificate of a PEM file ends; None where it holds none."""
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return None
    return max(each.not_valid_after_utc for each in certificates)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")
