"""Slow hashes, the memory of right passwords, and floods of wrong ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from stratuslab.core.errors import InvalidRequest, TooManyRequests
from stratuslab.core.security.failed_logins import FailedLogins
from stratuslab.core.security.passwords import (
    LONGEST_PASSWORD_BYTES,
    MOST_WAITING,
    PasswordHashes,
    random_password,
)


@pytest.fixture
async def passwords() -> AsyncIterator[PasswordHashes]:
    hashes = PasswordHashes()
    yield hashes
    hashes.close()


def _slow_comparisons(passwords: PasswordHashes, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What goes to the slow hash from now on."""
    seen: list[bytes] = []
    compare = passwords._compare

    def counted(secret: bytes, password_hash: str) -> bool:
        seen.append(secret)
        return compare(secret, password_hash)

    monkeypatch.setattr(passwords, "_compare", counted)
    return seen


@pytest.mark.parametrize("password", ["x", "", "pässwörd 🔑", "\ud800", "a" * 1024])
async def test_only_the_password_itself_matches(passwords: PasswordHashes, password: str) -> None:
    hashed = await passwords.hash(password)
    assert hashed.startswith("$argon2id$")
    assert await passwords.matches(password, hashed)
    assert not await passwords.matches(password + " ", hashed)


async def test_the_same_password_has_different_hashes(passwords: PasswordHashes) -> None:
    assert await passwords.hash("x") != await passwords.hash("x")


async def test_a_known_password_costs_microseconds(passwords: PasswordHashes) -> None:
    hashed = await passwords.hash("right")
    assert await passwords.matches("right", hashed, account="alice", remote="192.0.2.1")
    begin = time.perf_counter()
    for _ in range(2000):
        assert await passwords.matches("right", hashed, account="alice", remote="192.0.2.1")
    assert (time.perf_counter() - begin) / 2000 < 100e-6


async def test_the_slow_hash_is_neither_weak_nor_a_burden(passwords: PasswordHashes) -> None:
    hashed = await passwords.hash("right")
    begin = time.process_time()
    assert not await passwords.matches("wrong", hashed)
    assert 0.005 < time.process_time() - begin < 0.5


async def test_a_new_password_voids_the_old_one_at_once(passwords: PasswordHashes) -> None:
    old = await passwords.hash("old")
    assert await passwords.matches("old", old)
    new = await passwords.hash("new")
    assert not await passwords.matches("old", new)
    assert await passwords.matches("new", new)
    same_again = await passwords.hash("old")
    assert await passwords.matches("old", same_again)


async def test_a_disabled_account_matches_nothing(passwords: PasswordHashes) -> None:
    hashed = await passwords.hash("right")
    assert await passwords.matches("right", hashed, account="alice")
    assert not await passwords.matches("right", "", account="alice")
    assert not await passwords.matches("right", "$argon2id$damaged", account="alice")


async def test_an_unknown_account_costs_a_slow_comparison_each_time(
    passwords: PasswordHashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _slow_comparisons(passwords, monkeypatch)
    attempts = [("nobody", "x"), ("nobody", "x"), ("no one", "x")]
    results = [await passwords.matches(text, "", account=name) for name, text in attempts]
    assert results == [False, False, False]
    assert len(seen) == 3


async def test_who_asks_the_same_at_the_same_time_shares_one_comparison(
    passwords: PasswordHashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = await passwords.hash("right")
    seen = _slow_comparisons(passwords, monkeypatch)
    results = await asyncio.gather(
        *(passwords.matches("right", hashed, account="alice") for _ in range(200))
    )
    assert all(results)
    assert len(seen) == 1


async def test_one_caller_that_goes_away_does_not_disappoint_the_others(
    passwords: PasswordHashes,
) -> None:
    hashed = await passwords.hash("right")
    first = asyncio.create_task(passwords.matches("right", hashed))
    second = asyncio.create_task(passwords.matches("right", hashed))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_during_a_flood_known_passwords_are_answered_and_the_rest_turned_away(
    passwords: PasswordHashes,
) -> None:
    hashed = await passwords.hash("right")
    assert await passwords.matches("right", hashed)
    flood = [
        asyncio.create_task(passwords.matches(f"wrong {n}", hashed))
        for n in range(MOST_WAITING + 50)
    ]
    await asyncio.sleep(0)
    begin = time.perf_counter()
    for _ in range(100):
        assert await passwords.matches("right", hashed)
    assert time.perf_counter() - begin < 0.1
    with pytest.raises(TooManyRequests) as caught:
        await passwords.hash("another")
    assert caught.value.details["retry_after_seconds"] == 2
    for task in flood[5:]:
        task.cancel()
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert results[:5] == [False] * 5
    assert sum(isinstance(each, TooManyRequests) for each in results) >= 50


async def test_an_attacker_uses_up_his_own_attempts_only() -> None:
    passwords = PasswordHashes(failed_logins=FailedLogins(clock=lambda: 0.0))
    hashed = await passwords.hash("right")

    async def attempts(account: str, stored: str) -> int:
        for number in range(30):
            try:
                await passwords.matches(f"{number}", stored, account=account, remote="192.0.2.1")
            except TooManyRequests:
                return number
        return 30

    try:
        assert await attempts("alice", hashed) == 10
        assert await attempts("nobody", "") == 10
        with pytest.raises(TooManyRequests, match="Try again in 3 seconds"):
            await passwords.matches("right", hashed, account="alice", remote="192.0.2.1")
        assert await passwords.matches("right", hashed, account="alice", remote="192.0.2.2")
        assert await passwords.matches("right", hashed, account="alice", remote="192.0.2.1")
    finally:
        passwords.close()


async def test_right_passwords_use_up_no_attempts() -> None:
    passwords = PasswordHashes(remembered=0)
    try:
        hashed = await passwords.hash("right")
        for _ in range(12):
            assert await passwords.matches("right", hashed, account="alice", remote="192.0.2.1")
    finally:
        passwords.close()


async def test_what_is_remembered_is_bounded() -> None:
    passwords = PasswordHashes(remembered=2, failed_logins=FailedLogins())
    try:
        hashed = [await passwords.hash("right") for _ in range(4)]
        for each in hashed:
            assert await passwords.matches("right", each)
        assert len(passwords._known) == 2
    finally:
        passwords.close()


async def test_a_password_beyond_measure_is_refused(passwords: PasswordHashes) -> None:
    huge = "x" * (LONGEST_PASSWORD_BYTES + 1)
    with pytest.raises(InvalidRequest):
        await passwords.hash(huge)
    assert not await passwords.matches(huge, await passwords.hash("right"))


def test_random_passwords_are_long_and_different() -> None:
    made = {random_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == 20 and each.isalnum() for each in made)
