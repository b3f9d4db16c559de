"""Sealed bytes: anyone can seal to a public key, only the holder of the private key can open."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis.errors import Refused

PUBLIC_BYTES = 32
_KEY_BYTES, _NONCE_BYTES = 32, 12
_PURPOSE = b"quartermaster sealed 1"


class Keypair:
    """An X25519 key pair; `public` may be shown to anyone, the rest is never shown."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()

    @classmethod
    def new(cls) -> Keypair:
        """Return a pair made for this moment."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def derived(cls, secret: bytes, purpose: bytes) -> Keypair:
        """Return the pair that always belongs to this secret and purpose."""
        seed = HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose).derive(secret)
        return cls(X25519PrivateKey.from_private_bytes(seed))

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed to `public`; raises Refused when it was not, or was changed."""
        ephemeral, ciphertext = sealed[:PUBLIC_BYTES], sealed[PUBLIC_BYTES:]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            key, nonce = _key_and_nonce(shared, ephemeral, self.public)
            return AESGCM(key).decrypt(nonce, ciphertext, None)
        except (InvalidTag, ValueError) as error:
            raise Refused("this was not sealed to our key") from error


def seal(public: bytes, plain: bytes) -> bytes:
    """Return `plain` so that only the holder of the private key can read it.

    32 bytes of a one-time public key, then AES-256-GCM; key and nonce are derived from both keys,
    so neither is ever used twice. Raises Refused when `public` is no key.
    Source: the construction of HPKE base mode (RFC 9180), reduced to one suite.
    """
    once = X25519PrivateKey.generate()
    ephemeral = once.public_key().public_bytes_raw()
    try:
        shared = once.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Refused("this is no public key") from error
    key, nonce = _key_and_nonce(shared, ephemeral, public)
    return ephemeral + AESGCM(key).encrypt(nonce, plain, None)


def _key_and_nonce(shared: bytes, ephemeral: bytes, public: bytes) -> tuple[bytes, bytes]:
    info = _PURPOSE + ephemeral + public
    derived = HKDF(SHA256(), _KEY_BYTES + _NONCE_BYTES, salt=None, info=info).derive(shared)
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]
