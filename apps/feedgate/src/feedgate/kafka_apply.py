"""What `feedgate topics apply` does: topics, and in a secured Kafka users and their rights."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from feedgate.kafka_access import KafkaAccess
from feedgate.kafka_rights import rights_of, users_of
from feedgate.password_folder import PasswordFolder
from feedgate_kit.bus.kafka_login import log_in
from feedgate_kit.bus.kafka_settings import KafkaSecurity, KafkaSecurityError
from feedgate_kit.topics import apply_topics, load_topics

PASSWORD_VARIABLE: Final = "FEEDGATE_KAFKA_PASSWORD"  # noqa: S105 - its name, not what it holds


def administrator(
    bootstrap: str, ca_file: Path | None, username: str | None, password_file: Path | None
) -> KafkaSecurity:
    """Who applies.

    Raises:
        KafkaSecurityError: one line on what was given and does not go together or cannot be used.
    """
    password = _password(password_file)
    if (username is None) != (password is None):
        missing = "--username" if username is None else f"--password-file or {PASSWORD_VARIABLE}"
        raise KafkaSecurityError(f"Kafka's administrator is half given: {missing} is missing")
    security = KafkaSecurity(ca_file=ca_file, username=username, password=password or "")
    try:
        _ = security.tls
    except KafkaSecurityError as error:
        raise KafkaSecurityError(f"--ca-file: {error}") from None
    if (host := security.host_in_the_clear(bootstrap)) is not None:
        raise KafkaSecurityError(
            f"--bootstrap: a password is to go to the host `{host}` without TLS; allowed: --ca-file, or loopback"
        )
    return security


async def apply_all(
    bootstrap: str,
    agencies: Collection[str],
    security: KafkaSecurity,
    *,
    replication_factor: int,
    passwords: Path | None,
) -> list[str]:
    """Topics first, then users and rights where there is an administrator; what was changed, a line each.

    Raises:
        FeedgateError: as the parts say.
    """
    if passwords is not None and security.username is None:
        raise KafkaSecurityError(
            "--passwords: users are made by Kafka's administrator; name it with --username"
        )
    if security.username is not None:
        await log_in(bootstrap, security)
    topics = load_topics()
    changes = await apply_topics(
        bootstrap, topics, agencies, replication_factor=replication_factor, security=security
    )
    if security.username is not None:
        access = KafkaAccess(bootstrap, security)
        changes += await access.apply(
            users_of(agencies),
            rights_of(topics, agencies),
            None if passwords is None else PasswordFolder(passwords),
        )
    return changes


def _password(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeError) as error:
        raise KafkaSecurityError(
            f"--password-file: `{file}` cannot be read: {type(error).__name__}"
        ) from None
