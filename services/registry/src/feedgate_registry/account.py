"""Who an owner is here. Each function makes a FastAPI dependency that gives the caller's key."""

from collections.abc import Awaitable, Callable

from feedgate_kit.identity import Owner, owner_key
from feedgate_registry.acts import OwnerActs

FindOwner = Callable[[Owner], Awaitable[str]]


def owners(owner_hash_key: bytes) -> FindOwner:
    """For stops: who has no account has nothing to stop, and a stop waits for no more of the database than itself."""

    async def owner(caller: Owner) -> str:
        return owner_key(owner_hash_key, caller.issuer, caller.subject)

    return owner


def accounts(acts: OwnerActs, owner_hash_key: bytes) -> FindOwner:
    """For all else: the account is made at the first such call with a valid owner's token."""

    async def account(caller: Owner) -> str:
        owner = owner_key(owner_hash_key, caller.issuer, caller.subject)
        await acts.open_account(owner, issuer=caller.issuer, subject=caller.subject)
        return owner

    return account
