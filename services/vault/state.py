"""What the vault knows of a secret; the value itself only as it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A value as it is stored."""

    ciphertext: bytes = field(repr=False)
    nonce: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of a secret and who may read it."""

    value: Encrypted
    readers: frozenset[str]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is to be kept, but for the value; the same request_id again is the same version."""

    secret_id: str
    purpose: str
    readers: tuple[str, ...]
    request_id: str | None
