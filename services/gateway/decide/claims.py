"""What an access token says, and whether it says it now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Two machines' clocks need not agree to the second.
SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token whose signature, issuer and audience are right."""

    account_id: str
    session_id: str
    token_id: str
    issued_at: datetime
    expires_at: datetime


def holds(claims: Claims, now: datetime) -> bool:
    """Return whether a token is good now: given before, and not over."""
    return claims.issued_at - SKEW <= now < claims.expires_at
