"""The only source of chance: event ids that sort by time, and secrets."""

from __future__ import annotations

import os
import secrets
import time
from uuid import UUID


def uuid7() -> str:
    """Return a new UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then chance."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def new_id(prefix: str) -> str:
    """Return a short opaque id that begins with `prefix`, sortable by time of making."""
    return f"{prefix}-{uuid7().replace('-', '')[:20]}"


def token(nbytes: int = 32) -> str:
    """Return a secret of so many random bytes, safe in a URL."""
    return secrets.token_urlsafe(nbytes)
