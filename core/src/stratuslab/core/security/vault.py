"""Secrets at rest: AES-256-GCM under the cloud's key, bound to the document they belong to.

Sealed text is `v1:<key id>:<base64 of nonce and ciphertext>`; the key id tells a wrong key from
damaged data. The key is a file of mode 0600 that every service of the cloud can read.
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


class Vault:
    """Seals and opens under one key."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._key = key
        self._id = hashlib.sha256(b"stratuslab vault key" + key).hexdigest()[:12]

    def seal(self, data: bytes, *, associated: str) -> str:
        """Encrypted text; it opens only for the same `associated` key of a document."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + AESGCM(self._key).encrypt(nonce, data, associated.encode())
        return f"v1:{self._id}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, *, associated: str) -> bytes:
        """What was sealed. Raises PermanentError for another key, document or damage."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, _, rest = sealed.partition(":")
        key_id, _, text = rest.partition(":")
        if version != "v1" or key_id != self._id:
            raise PermanentError("A secret was sealed with another key than this cloud's.")
        try:
            raw = base64.b64decode(text, validate=True)
            return AESGCM(self._key).decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], associated.encode()
            )
        except (ValueError, InvalidTag) as error:
            raise PermanentError(f"The secret of {associated} is damaged.") from error


def open_vault(key_file: str) -> Vault:
    """The vault of this key file. Raises ConfigurationError."""
    path = Path(key_file)
    try:
        mode = path.stat().st_mode & 0o777
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The vault key {key_file!r} cannot be read: {error}.",
            hint="Set STRATUSLAB_VAULT_KEY_FILE to the cloud's key file.",
        ) from error
    if mode & 0o077 or len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"The vault key {key_file!r} must be {KEY_BYTES} bytes in hex with mode 0600."
        )
    return Vault(key)


def create_key_file(path: Path) -> None:
    """Writes a new random key, unless there is one already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
