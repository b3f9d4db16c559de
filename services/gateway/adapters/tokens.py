"""Access tokens: signed with Ed25519 and nothing else, every claim required."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import hashes

from services.chassis.errors import Bug
from services.chassis.ids import uuid7
from services.gateway.decide.claims import Claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ALGORITHM, TYPE = "EdDSA", "at+jwt"
ISSUER, AUDIENCE = "quartermaster", "quartermaster-api"
LONGEST = 4096
REMEMBERED = 1000  # tokens whose signature was checked
REQUIRED = ("iss", "aud", "sub", "sid", "exp", "iat", "jti")
# Time is the caller's: here is only who signed what.
_OPTIONS: Any = {
    "require": list(REQUIRED),
    "verify_signature": True,
    "verify_aud": True,
    "verify_iss": True,
    "verify_sub": True,
    "verify_jti": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "enforce_minimum_key_length": True,
}


class Tokens:
    """Signs with the first key, and reads what any of them signed."""

    def __init__(self, keys: Sequence[Ed25519PrivateKey], lifetime: timedelta) -> None:
        if not keys:
            raise Bug("there is no key to sign tokens with")
        self.lifetime = lifetime
        self._signing, self._kid = keys[0], _kid(keys[0].public_key())
        self._known = {_kid(key.public_key()): key.public_key() for key in keys}
        self._read: OrderedDict[bytes, Claims] = OrderedDict()

    def issue(self, account_id: str, session_id: str, now: datetime) -> str:
        """Return a token for a session."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": account_id,
            "sid": session_id,
            "jti": uuid7(),
            "iat": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
        }
        headers = {"kid": self._kid, "typ": TYPE}
        return jwt.encode(claims, self._signing, algorithm=ALGORITHM, headers=headers)

    def read(self, token: str) -> Claims | None:
        """Return what a token of ours says, whether it is over or not; None for any other.

        Who signed a token never changes, so it is looked at once for many requests. Whether it is
        over and its session has ended is not said here: that is asked each time.
        """
        if len(token) > LONGEST:
            return None
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        if (known := self._read.get(digest)) is not None:
            self._read.move_to_end(digest)
            return known
        claims = self._verified(token)
        if claims is not None:
            self._read[digest] = claims
            if len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
        return claims

    def _verified(self, token: str) -> Claims | None:
        try:
            header = jwt.get_unverified_header(token)
            key = self._known.get(str(header.get("kid")))
            if key is None or header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
                return None
            said = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options=_OPTIONS,
            )
            return _claims(said)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return None


def _claims(said: dict[str, Any]) -> Claims:
    return Claims(
        account_id=str(said["sub"]),
        session_id=str(said["sid"]),
        token_id=str(said["jti"]),
        issued_at=datetime.fromtimestamp(int(said["iat"]), UTC),
        expires_at=datetime.fromtimestamp(int(said["exp"]), UTC),
    )


def _kid(key: Ed25519PublicKey) -> str:
    """Return a key's name: the beginning of its digest."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes_raw())
    return digest.finalize().hex()[:16]
