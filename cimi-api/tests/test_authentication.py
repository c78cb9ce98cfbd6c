"""Logins, and how soon a change of an account counts."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest
from eventually import eventually

from stratuslab.cimi_api.app import create_app
from stratuslab.cimi_api.authentication import Authenticator
from stratuslab.core.contracts import USER, User
from stratuslab.core.errors import NotAuthenticated
from stratuslab.core.security.passwords import PasswordHashes
from stratuslab.core.store.base import Query


def _basic(text: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text).decode()}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _basic(b"admin:wrong"),
        _basic(b"nobody:wrong"),
        _basic(b"admin"),
        _basic(b":x"),
        _basic(b"\xff\xfe:x"),
        _basic(b"admin\0:x"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!!"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic " + "A" * 4000},
    ],
)
async def test_without_good_credentials_nothing_is_told(api: Any, headers: Any) -> None:
    for path in ("machines", "machines/x", "users", "nothing/at/all"):
        answer = await api.nobody.get(path, headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert answer.json["code"] == "not-authenticated"


async def test_a_password_may_hold_colons_and_any_letter(api: Any) -> None:
    await api.admin.made("users", {"name": "eve", "password": "pässwörd:with:colons"})
    answer = await api.nobody.get("machines", headers=_basic("eve:pässwörd:with:colons".encode()))
    assert answer.status == 200


async def test_a_new_password_counts_everywhere_within_a_second(
    api: Any, aiohttp_client: Any
) -> None:
    other_front = await aiohttp_client(
        create_app(api.store, api.bus, api.settings, passwords=api.passwords, vault=None)
    )
    alice = await api.user("alice")
    old = alice.headers()

    async def status(http: Any, headers: Any) -> int:
        async with http.get("/cimi/machines", headers=headers) as response:
            return int(response.status)

    assert await status(api.http, old) == 200
    assert await status(other_front, old) == 200
    changed = await alice.put(f"users/{alice.id}?$select=password", {"password": "another one"})
    assert changed.status == 200
    new = {"Authorization": aiohttp.encode_basic_auth("alice", "another one")}
    for http in (api.http, other_front):

        async def refused(http: Any = http) -> bool:
            return await status(http, old) == 401

        await eventually(refused, seconds=1.0)
        assert await status(http, new) == 200


@pytest.mark.parametrize("how", ["disabled", "removed"])
async def test_a_lost_account_counts_within_a_second(api: Any, how: str) -> None:
    alice = await api.user("alice")
    assert (await alice.get("machines")).status == 200
    if how == "disabled":
        await api.admin.put(f"users/{alice.id}?$select=enabled", {"enabled": False})
    else:
        assert (await api.admin.delete(f"users/{alice.id}")).status == 200

    async def refused() -> bool:
        return bool((await alice.get("machines")).status == 401)

    await eventually(refused, seconds=1.0)


async def test_a_new_role_counts_within_a_second(api: Any) -> None:
    alice = await api.user("alice")
    machine = await api.admin.machine()
    assert (await alice.get(machine["id"])).status == 404
    await api.admin.put(f"users/{alice.id}?$select=roles", {"roles": ["ADMIN"]})

    async def seen() -> bool:
        return bool((await alice.get(machine["id"])).status == 200)

    await eventually(seen, seconds=1.0)


class CountingPasswords:
    """Counts what it is asked to compare."""

    def __init__(self) -> None:
        self.compared = 0

    async def hash(self, password: str) -> str:
        return password

    async def matches(
        self, password: str, password_hash: str, *, account: str = "", remote: str = ""
    ) -> bool:
        self.compared += 1
        return password == password_hash


async def test_a_known_login_needs_no_slow_hash(api: Any) -> None:
    passwords = CountingPasswords()
    authenticator = Authenticator(api.store, passwords, max_logins=10)
    header = aiohttp.encode_basic_auth("admin", (await _account(api, "admin")).password_hash)
    for _ in range(5):
        assert (await authenticator.identify(header)).name == "admin"
    assert passwords.compared == 1


async def test_guessing_is_turned_away_and_leaves_others_in_peace(
    make_api: Any, aiohttp_client: Any
) -> None:
    api = await make_api(trust_forwarded=True)
    passwords = PasswordHashes()
    try:
        hashed = await passwords.hash("the right one")

        def change(user: User) -> None:
            user.password_hash = hashed

        await api.store.update(USER, (await _account(api, "admin")).id, change)
        http = await aiohttp_client(
            create_app(api.store, api.bus, api.settings, passwords=passwords, vault=None)
        )

        async def attempt(password: str, remote: str) -> int:
            headers = {
                "Authorization": aiohttp.encode_basic_auth("admin", password),
                "X-Forwarded-For": remote,
            }
            async with http.get("/cimi/machines", headers=headers) as response:
                return int(response.status)

        guesses = [await attempt(f"guess {number}", "192.0.2.1") for number in range(12)]
        assert guesses[0] == 401
        assert guesses[-1] == 429
        assert await attempt("the right one", "192.0.2.2") == 200
    finally:
        passwords.close()


async def test_an_unknown_user_costs_as_much_as_a_wrong_password(api: Any) -> None:
    passwords = CountingPasswords()
    authenticator = Authenticator(api.store, passwords, max_logins=10)
    with pytest.raises(NotAuthenticated):
        await authenticator.identify(aiohttp.encode_basic_auth("nobody", "x"))
    assert passwords.compared == 1


async def test_remembered_logins_are_bounded(api: Any) -> None:
    passwords = CountingPasswords()
    authenticator = Authenticator(api.store, passwords, max_logins=3)
    for number in range(6):
        await api.user(f"user{number}")
        document = await _account(api, f"user{number}")
        header = aiohttp.encode_basic_auth(document.name, document.password_hash)
        await authenticator.identify(header)
    assert len(authenticator._logins) == 3


async def _account(api: Any, name: str) -> User:
    page = await api.store.list(Query(USER, {"name": name}))
    user: User = page.items[0].document
    return user
