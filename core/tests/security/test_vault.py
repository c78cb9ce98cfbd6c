"""Secrets at rest: only the right key and the right document open them."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.core.errors import ConfigurationError, PermanentError
from stratuslab.core.security.vault import Vault, create_key_file, key_id, open_vault

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@given(st.binary(max_size=5000), st.text(st.characters(codec="utf-8"), max_size=50))
def test_what_is_sealed_opens_again(data: bytes, associated: str) -> None:
    vault = Vault(KEY)
    sealed = vault.seal(data, associated=associated)
    assert vault.open(sealed, associated=associated) == data
    assert sealed.isascii()
    assert sealed != vault.seal(data, associated=associated)


def test_it_opens_for_its_own_document_only() -> None:
    vault = Vault(KEY)
    sealed = vault.seal(b"data", associated="secret/a")
    with pytest.raises(PermanentError, match="damaged, or belongs to something else"):
        vault.open(sealed, associated="secret/b")


@given(st.integers(min_value=0), st.sampled_from("A!=z "))
def test_no_damage_goes_unseen(place: int, letter: str) -> None:
    vault = Vault(KEY)
    sealed = vault.seal(b"8 bytes!", associated="secret/a")
    at = place % len(sealed)
    if sealed[at] == letter:
        return
    with pytest.raises(PermanentError):
        vault.open(sealed[:at] + letter + sealed[at + 1 :], associated="secret/a")


@pytest.mark.parametrize("text", ["", "v1", "v1:", "v2:x:y", "v1::", "plain"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(PermanentError):
        Vault(KEY).open(text, associated="secret/a")


def test_another_key_is_named_as_the_reason() -> None:
    sealed = Vault(KEY).seal(b"data", associated="secret/a")
    with pytest.raises(PermanentError) as caught:
        Vault(OTHER).open(sealed, associated="secret/a")
    assert key_id(KEY) in str(caught.value)
    assert key_id(OTHER) in str(caught.value)
    assert KEY.hex() not in str(caught.value)


def test_a_new_key_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    file = tmp_path / "vault.key"
    create_key_file(file)
    before = open_vault(str(file)).seal(b"data", associated="secret/a")
    file.write_text(OTHER.hex() + "\n" + file.read_text())
    vault = open_vault(str(file))
    assert vault.open(before, associated="secret/a") == b"data"
    after = vault.seal(b"data", associated="secret/a")
    assert Vault(OTHER).open(after, associated="secret/a") == b"data"


def test_a_key_file_is_made_once_private_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "vault.key"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: create_key_file(file), range(16)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(file.read_text())) == 32
    assert list(tmp_path.iterdir()) == [file]


def test_the_key_may_come_from_the_environment() -> None:
    sealed = Vault(KEY).seal(b"data", associated="a")
    assert open_vault("/absent", key=KEY.hex()).open(sealed, associated="a") == b"data"


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (KEY.hex(), 0o640, "chmod 600"),
        ("", 0o600, "not 64 hexadecimal digits"),
        (KEY.hex()[:-2], 0o600, "not 64 hexadecimal digits"),
        ("no key", 0o600, "not 64 hexadecimal digits"),
        ("kéy", 0o600, "it is no text"),
    ],
)
def test_a_wrong_key_file_is_explained_without_showing_it(
    tmp_path: Path, content: str, mode: int, complaint: str
) -> None:
    file = tmp_path / "vault.key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        open_vault(str(file))
    assert not content or content not in str(caught.value)


def test_a_missing_key_is_explained(tmp_path: Path) -> None:
    for file in ("", str(tmp_path / "absent"), str(tmp_path)):
        with pytest.raises(ConfigurationError, match="STRATUSLAB_VAULT_KEY_FILE"):
            open_vault(file)
