"""The private certificate authority of one deployment: signs what its containers show each other."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_NAME: Final = "Feedgate deployment"
AUTHORITY_LASTS: Final = timedelta(days=3650)
CERTIFICATE_LASTS: Final = timedelta(days=397)
"""The longest that browsers take."""
RENEW_BEFORE: Final = timedelta(days=60)
CLOCKS_DIFFER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str

    def serves(self, hosts: Sequence[str], now: datetime) -> bool:
        """Whether it is for exactly these hosts and not soon over."""
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return list(names) == _names(hosts) and now + RENEW_BEFORE < certificate.not_valid_after_utc

    @property
    def is_private(self) -> bool:
        """Whether an authority of this kind issued it; if not, it is the operator's own."""
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        return certificate.issuer == _named(AUTHORITY_NAME)

    def issued_by(self, authority: "Pair") -> bool:
        """Whether this authority's key signed it."""
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        try:
            certificate.verify_directly_issued_by(
                x509.load_pem_x509_certificate(authority.certificate.encode())
            )
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Authority:
    """Whoever trusts `pair.certificate` believes what this signs."""

    pair: Pair

    @classmethod
    def make(cls, now: datetime) -> Self:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named(AUTHORITY_NAME)
        certificate = (
            _begun(name, name, key.public_key(), now, AUTHORITY_LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(_pair(certificate, key))

    def issue(self, name: str, hosts: Sequence[str], now: datetime) -> Pair:
        """A certificate for a server that answers at these names and addresses, and is `name` as a client."""
        own = x509.load_pem_x509_certificate(self.pair.certificate.encode())
        own_key = serialization.load_pem_private_key(self.pair.key.encode(), None)
        if not isinstance(own_key, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is not the one that was made with it")
        key = ec.generate_private_key(ec.SECP256R1())
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _begun(_named(name), own.subject, key.public_key(), now, CERTIFICATE_LASTS)
            .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key.public_key()), critical=False
            )
            .sign(own_key, hashes.SHA256())
        )
        return _pair(certificate, key)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + lasts)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    return [_host(host) for host in hosts]


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
