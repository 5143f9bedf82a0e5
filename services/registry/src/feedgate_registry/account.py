"""Who an owner is here: the caller's account, made at the first call with a valid owner's token."""

from collections.abc import Awaitable, Callable

from feedgate_kit.identity import Owner, owner_key
from feedgate_registry.acts import OwnerActs

FindAccount = Callable[[Owner], Awaitable[str]]


def accounts(acts: OwnerActs, owner_hash_key: bytes) -> FindAccount:
    """A FastAPI dependency that gives the caller's key."""

    async def account(caller: Owner) -> str:
        owner = owner_key(owner_hash_key, caller.issuer, caller.subject)
        await acts.open_account(owner, issuer=caller.issuer, subject=caller.subject)
        return owner

    return account
