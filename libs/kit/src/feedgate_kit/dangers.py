"""Settings that are each allowed, and together let somebody read, forge or reach what they must not."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from feedgate_kit.bus.kafka_settings import broker_addresses, kafka_settings
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity.plain_http import is_loopback
from feedgate_kit.settings import ServiceSettings, SettingsError

ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})
"""Values of asyncpg's `ssl` that never fall back to plain text."""


def refuse_dangers(settings: ServiceSettings) -> None:
    """Let the service start only with settings that are safe together.

    Raises:
        SettingsError: a line for each danger.
    """
    found = list(dangers(settings))
    if found:
        raise SettingsError("\n".join(found))


def dangers(settings: ServiceSettings) -> Iterator[str]:
    """One line each: what was seen and what is allowed."""
    yield from _unusable_files(settings)
    yield from _plain_calls(settings)
    yield from _plain_kafka(settings)
    yield from _plain_database(settings)
    yield from _open_internal_port(settings)
    yield from _no_skew(settings)


def _unusable_files(settings: ServiceSettings) -> Iterator[str]:
    """Issuers on plain http beside anything that is not loopback; certificates and users that cannot be used."""

    def issuers() -> object:
        return settings.load_issuers() if settings.issuers_file is not None else None

    for load in (issuers, settings.load_trust, settings.load_internal_tls, lambda: kafka_settings(settings)):
        try:
            load()
        except FeedgateError as error:
            yield str(error)


def _plain_calls(settings: ServiceSettings) -> Iterator[str]:
    for name, url in settings.called_urls().items():
        parts = urlsplit(url)
        if parts.scheme == "http" and not _is_near(settings, parts.hostname or ""):
            yield f"{name}: a token would go to the host `{parts.hostname}` in the clear; {_or_https(settings)}"


def _plain_kafka(settings: ServiceSettings) -> Iterator[str]:
    if settings.kafka_ca_file is not None:
        return
    name = settings.setting_name
    for host, _ in broker_addresses(settings.kafka_bootstrap):
        if not _is_near(settings, host):
            yield (
                f"{name('kafka_bootstrap')}: the host `{host}` would be spoken to without TLS;"
                f" allowed: {name('kafka_ca_file')}, {_or_near(settings)}"
            )


def _plain_database(settings: ServiceSettings) -> Iterator[str]:
    if settings.database_url is None:
        return
    parts = urlsplit(settings.database_url.get_secret_value())
    if parts.scheme.startswith("sqlite") or _is_near(settings, parts.hostname or ""):
        return
    query = parse_qs(parts.query)
    if not parts.hostname and query.get("host", ["/"])[-1].startswith("/"):
        return  # a socket of this machine's file system
    asked = query.get("ssl", ["nothing"])[-1]
    if asked not in ENCRYPTED:
        yield (
            f"{settings.setting_name('database_url')}: the host `{parts.hostname}` would be spoken to without TLS"
            f" (`ssl`: {asked}); allowed: `?ssl=verify-full`, {_or_near(settings)}"
        )


def _open_internal_port(settings: ServiceSettings) -> Iterator[str]:
    name = settings.setting_name
    inner, outer = settings.internal_host, settings.public_host
    if inner == outer and not _is_near(settings, inner):
        yield (
            f"{name('internal_host')}: `{inner}` is {name('public_host')} too, so whoever reaches the public port"
            f" reaches `/metrics` and `/internal`; allowed: another address, {_or_near(settings)}"
        )
    if settings.public_port == settings.internal_port != 0:
        yield (
            f"{name('internal_port')}: {settings.internal_port} is {name('public_port')} too;"
            " allowed: another port, or 0 for any free one"
        )


def _no_skew(settings: ServiceSettings) -> Iterator[str]:
    far = [host for host, _ in broker_addresses(settings.kafka_bootstrap) if not is_loopback(host)]
    if settings.skew_s == 0 and far:
        yield (
            f"{settings.setting_name('skew_s')}: 0 says that every host has one clock, and {far[0]} is another host;"
            " allowed: more than 0, as far as clocks may differ"
        )


def _is_near(settings: ServiceSettings, host: str) -> bool:
    return is_loopback(host) or host in settings.private_hosts


def _or_https(settings: ServiceSettings) -> str:
    return f"allowed: https, {_or_near(settings)}"


def _or_near(settings: ServiceSettings) -> str:
    return f"loopback, or a host that {settings.setting_name('private_hosts')} names"
