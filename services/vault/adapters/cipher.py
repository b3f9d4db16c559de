"""AES-256-GCM under one key; a ciphertext opens for its own secret and version only."""

from __future__ import annotations

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.errors import Bug
from services.chassis.ids import token
from services.chassis.sealed import Keypair
from services.vault.state import Encrypted

KEY_BYTES, NONCE_BYTES = 32, 12


class AesGcm:
    """Encrypts values, and derives the key pair that values are sealed to on their way in."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self.keypair = Keypair.derived(key, b"quartermaster vault door 1")

    def encrypt(self, plain: bytes, secret_id: str, version: int) -> Encrypted:
        """Return a value as it may be stored."""
        nonce = base64.urlsafe_b64decode(token(NONCE_BYTES))
        return Encrypted(self._aead.encrypt(nonce, plain, _whose(secret_id, version)), nonce)

    def decrypt(self, stored: Encrypted, secret_id: str, version: int) -> bytes:
        """Return the value; raises Bug when it was changed, moved, or is under another key."""
        try:
            return self._aead.decrypt(stored.nonce, stored.ciphertext, _whose(secret_id, version))
        except InvalidTag as error:
            raise Bug(f"{secret_id} version {version} does not open with this key") from error


def _whose(secret_id: str, version: int) -> bytes:
    return f"{len(secret_id)}:{secret_id}:{version}".encode()
