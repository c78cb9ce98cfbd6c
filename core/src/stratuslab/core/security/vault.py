"""Secrets at rest: AES-256-GCM under the cloud's key, bound to the document they belong to.

Sealed text is `v1:<key id>:<base64 of nonce and ciphertext>`; the key id tells a wrong key from
damaged data, and which of several keys is the right one. The key is a file of mode 0600 that
every service of the cloud can read. To change it, put a new line above the old one: the first
key seals, all of them open.

`cryptography` is imported at the first use: 4 MB that most processes never need.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from stratuslab.core.errors import ConfigurationError, PermanentError

KEY_BYTES = 32
NONCE_BYTES = 12
MOST_KEYS = 16

_HINT = "Set STRATUSLAB_VAULT_KEY_FILE to the cloud's key file."


class Vault:
    """Seals under one key; opens under it and under older ones."""

    def __init__(self, key: bytes, *older: bytes) -> None:
        assert all(len(each) == KEY_BYTES for each in (key, *older))
        self._id = key_id(key)
        self._keys = {key_id(each): each for each in (*older, key)}

    def seal(self, data: bytes, *, associated: str) -> str:
        """Encrypted text; it opens only for the same `associated` key of a document."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + AESGCM(self._keys[self._id]).encrypt(nonce, data, associated.encode())
        return f"v1:{self._id}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, *, associated: str) -> bytes:
        """What was sealed. Raises PermanentError for another key, document or damage."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, _, rest = sealed.partition(":")
        sealed_under, _, text = rest.partition(":")
        if version != "v1":
            raise PermanentError(
                f"The secret of {associated} is in a form that this version does not know."
            )
        key = self._keys.get(sealed_under)
        if key is None:
            raise PermanentError(
                f"The secret of {associated} was sealed under the key {sealed_under!r}, "
                f"and this service has {', '.join(self._keys)}.",
                hint="Add the old key as another line of the vault's key file.",
            )
        try:
            raw = base64.b64decode(text, validate=True)
            return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], associated.encode())
        except (ValueError, InvalidTag) as error:
            raise PermanentError(
                f"The secret of {associated} is damaged, or belongs to something else."
            ) from error


def key_id(key: bytes) -> str:
    """A name for the key that tells nothing of it."""
    return hashlib.sha256(b"stratuslab vault key" + key).hexdigest()[:12]


def open_vault(key_file: str, *, key: str = "") -> Vault:
    """The vault of this key file, or of `key` when that is given. Raises ConfigurationError."""
    if key:
        return Vault(*_keys(key, "STRATUSLAB_VAULT_KEY"))
    if not key_file:
        raise ConfigurationError("No key for the vault is known.", hint=_HINT)
    path = Path(key_file)
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read(4096)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(
            f"The vault key {key_file} cannot be read: {reason}.", hint=_HINT
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"Others can read the vault key {key_file} (mode {mode:04o}).",
            hint=f"Run: chmod 600 {key_file}",
        )
    return Vault(*_keys(text, key_file))


def _keys(text: str, source: str) -> list[bytes]:
    try:
        keys = [bytes.fromhex(line) for line in text.split()[:MOST_KEYS]]
    except ValueError:
        keys = []
    if not keys or any(len(each) != KEY_BYTES for each in keys):
        # The text itself is not shown: most of it may be a key.
        raise ConfigurationError(
            f"The vault key in {source} is not {2 * KEY_BYTES} hexadecimal digits."
        )
    return keys


def create_key_file(path: Path) -> None:
    """Writes a new random key with mode 0600, unless there is one already. Never half of one."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
