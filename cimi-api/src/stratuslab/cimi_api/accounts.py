"""Accounts: passwords, roles, and what keeps an account from being removed."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from stratuslab.cimi_api.model import user as model
from stratuslab.cimi_api.plan import Caller, Cloud
from stratuslab.core.contracts import MACHINE, USER, User
from stratuslab.core.documents import Acl, Rule
from stratuslab.core.documents.frame import ADMINISTRATOR
from stratuslab.core.errors import InvalidRequest, WrongState
from stratuslab.core.store import Query, Write
from stratuslab.core.store.base import MAX_PAGE


async def write_user(
    cloud: Cloud, caller: Caller, document: User, body: model.UserBody, was: User | None
) -> Sequence[Write]:
    """An account. Raises InvalidRequest, AlreadyExists for a taken name, WrongState."""
    if was is None and body.password is UNSET:
        raise InvalidRequest(
            "The new account has no password.", hint="Give one of 8 to 256 characters."
        )
    model.apply(document, body, administrator=caller.administrator)
    if was is None:
        own = Rule(f"user/{document.id}", "MODIFY")
        document.acl = Acl(ADMINISTRATOR, [own])
        document.owner = document.id
    else:
        if not caller.administrator:
            document.name = was.name
        if _can_administer(was) and not _can_administer(document):
            await _keep_one_administrator(cloud, document)
    if body.password is not UNSET:
        document.password_hash = await cloud.passwords.hash(body.password)
        document.password_version += 0 if was is None else 1
    return ()


async def check_removal(cloud: Cloud, document: User) -> Sequence[Write]:
    """Refuses while the account owns machines or is the last administrator (WrongState)."""
    machines = await cloud.store.count(Query(MACHINE, {"owner": document.id}))
    if machines:
        raise WrongState(
            f"User {document.name} still owns {machines} machines.",
            hint="Delete them or give them to another owner first.",
        )
    if _can_administer(document):
        await _keep_one_administrator(cloud, document)
    return ()


def _can_administer(user: User) -> bool:
    return user.enabled and ADMINISTRATOR in user.principals


async def _keep_one_administrator(cloud: Cloud, leaving: User) -> None:
    after: str | None = None
    while True:
        page = await cloud.store.list(Query(USER, after=after, limit=MAX_PAGE))
        others = (each.document for each in page.items if each.document.id != leaving.id)
        if any(_can_administer(each) for each in others):
            return
        after = page.next
        if after is None:
            raise WrongState(
                f"User {leaving.name} is the last enabled administrator.",
                hint="Give another account the role ADMIN first.",
            )
