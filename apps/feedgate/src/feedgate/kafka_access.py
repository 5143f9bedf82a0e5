"""Brings Kafka's users and their rights in line with the topic files."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future as ThreadFuture
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from feedgate.kafka_rights import Operation, Resource, Right, is_ours
from feedgate.password_folder import PasswordFolder
from feedgate_kit.bus.kafka_login import KafkaLoginError, log_in
from feedgate_kit.bus.kafka_settings import MECHANISM, KafkaSecurity
from feedgate_kit.bus.kafka_topics import until
from feedgate_kit.errors import BusError

TIMEOUT_S: Final = 30.0
"""For rights, and for each user."""
LOGINS_AT_ONCE: Final = 8
ITERATIONS: Final = 8192
"""Of SCRAM; Kafka takes 4096 and more."""
PRINCIPAL: Final = "User:"
ANY_HOST: Final = "*"

_RESOURCES: Final = {Resource.TOPIC: ResourceType.TOPIC, Resource.GROUP: ResourceType.GROUP}
_OPERATIONS: Final = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.DELETE: AclOperation.DELETE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
}


class KafkaAccess:
    """Users and rights of one Kafka, as its administrator."""

    def __init__(self, bootstrap: str, security: KafkaSecurity) -> None:
        self._bootstrap = bootstrap
        self._security = security
        quiet = logging.getLogger("feedgate.librdkafka")
        quiet.setLevel(logging.CRITICAL + 1)  # what it cannot do becomes one line of ours
        self._admin = AdminClient(_options(bootstrap, security), logger=quiet)

    async def apply(
        self, users: Collection[str], rights: Iterable[Right], passwords: PasswordFolder | None
    ) -> list[str]:
        """Make the users and rights that are missing; remove those of ours that are not wanted.

        What others were given stays, and so does every rule that denies: it can only narrow.

        Args:
            users: everybody who is to have a password.
            rights: everything they may do.
            passwords: where passwords are kept and made; None leaves users as they are, except that
                those not wanted lose theirs.

        Returns:
            What was changed, a line each.

        Raises:
            BusError: Kafka cannot be reached or refused.
            PasswordFolderError: a password cannot be read or kept.
        """
        with _bus_errors(f"applying users and rights to {self._bootstrap}"):
            async with asyncio.timeout(TIMEOUT_S):
                changes = await self._remove_users(users, passwords)
                changes += await self._apply_rights({_binding(right) for right in rights})
            if passwords is not None:
                changes += await self._apply_users(users, passwords)
        return changes

    async def _remove_users(self, wanted: Collection[str], passwords: PasswordFolder | None) -> list[str]:
        unwanted = sorted(user for user in await self._users() if is_ours(user) and user not in wanted)
        if unwanted:
            mechanism = ScramMechanism.SCRAM_SHA_512
            await self._alter([UserScramCredentialDeletion(user, mechanism) for user in unwanted])
        if passwords is not None:
            passwords.remove(unwanted)
        return [f"user {user}: removed" for user in unwanted]

    async def _apply_rights(self, wanted: set[AclBinding]) -> list[str]:
        seen = await self._rights()
        unwanted, missing = seen - wanted, wanted - seen
        if unwanted:
            filters = [_filter_of(binding) for binding in unwanted]
            await _all(self._admin.delete_acls(filters, request_timeout=TIMEOUT_S))
        if missing:
            await _all(self._admin.create_acls(list(missing), request_timeout=TIMEOUT_S))

        async def settled() -> bool:
            return await self._rights() == wanted

        await until(settled)
        return [
            *sorted(f"{_user_of(binding)}: may no longer {_words(binding)}" for binding in unwanted),
            *sorted(f"{_user_of(binding)}: may {_words(binding)}" for binding in missing),
        ]

    async def _apply_users(self, users: Iterable[str], passwords: PasswordFolder) -> list[str]:
        """Some at a time: a log-in takes Kafka a moment each, and there may be hundreds of agencies."""
        passwords.open()
        known = await self._users()
        at_once = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def applied(user: str) -> str | None:
            async with at_once, asyncio.timeout(TIMEOUT_S):
                return await self._apply_user(user, passwords, is_known=user in known)

        # Each to its end: what was changed of one is not undone because another failed.
        done = await asyncio.gather(*map(applied, users), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
        return [line for line in done if isinstance(line, str)]

    async def _apply_user(self, user: str, passwords: PasswordFolder, *, is_known: bool) -> str | None:
        password = passwords.read(user)
        if not is_known:
            await self._set(user, password or passwords.make(user))
            return f"user {user}: made"
        if password is not None and not await self._lets_in(user, password):
            await self._set(user, password)
            return f"user {user}: has the password in its file now"
        return None

    async def _set(self, user: str, password: str) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        await self._alter([UserScramCredentialUpsertion(user, info, password.encode())])
        await until(lambda: self._lets_in(user, password))

    async def _lets_in(self, user: str, password: str) -> bool:
        who = KafkaSecurity(ca_file=self._security.ca_file, username=user, password=password)
        try:
            await log_in(self._bootstrap, who)
        except KafkaLoginError:
            return False
        return True

    async def _users(self) -> set[str]:
        described = self._admin.describe_user_scram_credentials(request_timeout=TIMEOUT_S)
        return set(await asyncio.wrap_future(described))

    async def _alter(self, alterations: list[Any]) -> None:
        await _all(self._admin.alter_user_scram_credentials(alterations, request_timeout=TIMEOUT_S))

    async def _rights(self) -> set[AclBinding]:
        """Every rule that allows something to a user of ours."""
        everything = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            None,
            None,
            AclOperation.ANY,
            AclPermissionType.ALLOW,
        )
        found = self._admin.describe_acls(everything, request_timeout=TIMEOUT_S)
        return {binding for binding in await asyncio.wrap_future(found) if is_ours(_user_of(binding))}


def _options(bootstrap: str, security: KafkaSecurity) -> dict[str, Any]:
    """As librdkafka takes them."""
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "client.id": "feedgate-topics",
        "security.protocol": security.protocol,
    }
    if security.ca_file is not None:
        options["ssl.ca.location"] = str(security.ca_file)
    if security.username is not None:
        options |= {
            "sasl.mechanism": MECHANISM,
            "sasl.username": security.username,
            "sasl.password": security.password,
        }
    return options


def _binding(right: Right) -> AclBinding:
    return AclBinding(
        _RESOURCES[right.resource],
        right.name,
        ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL,
        PRINCIPAL + right.user,
        ANY_HOST,
        _OPERATIONS[right.operation],
        AclPermissionType.ALLOW,
    )


def _filter_of(binding: AclBinding) -> AclBindingFilter:
    """That matches it alone."""
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def _user_of(binding: AclBinding) -> str:
    return str(binding.principal).removeprefix(PRINCIPAL)


def _words(binding: AclBinding) -> str:
    prefix = "*" if binding.resource_pattern_type is ResourcePatternType.PREFIXED else ""
    host = "" if binding.host == ANY_HOST else f" from {binding.host}"
    return f"{binding.operation.name.lower()} {binding.restype.name.lower()} {binding.name}{prefix}{host}"


async def _all(answers: Mapping[Any, ThreadFuture[Any]]) -> None:
    waiting: list[Future[Any]] = [asyncio.wrap_future(answer) for answer in answers.values()]
    await asyncio.gather(*waiting)


@contextmanager
def _bus_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        said = error.args[0].name() if isinstance(error, KafkaException) else "no answer in time"
        raise BusError(f"{doing}: {said}") from error
