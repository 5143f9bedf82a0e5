"""Who an owner is here: the caller's account, made at the first call with a valid owner's token.

A stop needs none: who has no account has nothing to stop, and it must not wait for more of the database than itself.
"""

from collections.abc import Awaitable, Callable

from feedgate_kit.identity import Owner, owner_key
from feedgate_registry.acts import OwnerActs

FindAccount = Callable[[Owner], Awaitable[str]]
NameOwner = Callable[[Owner], Awaitable[str]]


def owner_names(owner_hash_key: bytes) -> NameOwner:
    """A FastAPI dependency that gives the caller's key, whether or not there is an account."""

    async def name(caller: Owner) -> str:
        return owner_key(owner_hash_key, caller.issuer, caller.subject)

    return name


def accounts(acts: OwnerActs, owner_hash_key: bytes) -> FindAccount:
    """A FastAPI dependency that gives the caller's key."""

    async def account(caller: Owner) -> str:
        owner = owner_key(owner_hash_key, caller.issuer, caller.subject)
        await acts.open_account(owner, issuer=caller.issuer, subject=caller.subject)
        return owner

    return account
