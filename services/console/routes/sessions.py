"""Who is logged in: the gateway's token, sealed into a cookie that no script can read."""

from __future__ import annotations

import base64
from binascii import Error as NotBase64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.errors import Refused
from services.chassis.sealed import Keypair, seal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from starlette.responses import Response

COOKIE = "qm_console"
_PURPOSE = b"quartermaster console session 1"
_RENEW_BEFORE_S = 120.0
_LONGEST = 4000  # browsers drop longer ones without a word


@dataclass(frozen=True)
class Session:
    """Somebody's token; permissions None: not known, the gateway will say."""

    bearer: str
    name: str
    ends_at: float
    refresh: str | None = None
    fresh_until: float | None = None
    role: str = ""
    permissions: tuple[str, ...] | None = None

    @property
    def is_of_login(self) -> bool:
        """Whether it came of a name and a password, and so stands at the gateway, too."""
        return self.fresh_until is not None

    def needs_renewal(self, now: datetime) -> bool:
        """Return whether the token ends soon and can be exchanged for a new one."""
        if self.refresh is None or self.fresh_until is None:
            return False
        return now.timestamp() > self.fresh_until - _RENEW_BEFORE_S

    def renewed(self, tokens: dict[str, Any], now: datetime) -> Session:
        """Return the session with the tokens of a refresh."""
        lasts_s = float(tokens.get("expires_in") or 0)
        return replace(
            self,
            bearer=str(tokens["access_token"]),
            refresh=tokens.get("refresh_token") or None,
            fresh_until=now.timestamp() + lasts_s,
        )

    def known_as(self, said: Mapping[str, Any]) -> Session:
        """Return the session with what the gateway says of whose it is, and what they may do."""
        permissions = said.get("permissions")
        return replace(
            self,
            name=str(said.get("username") or self.name),
            role=str(said.get("role") or ""),
            permissions=None if permissions is None else tuple(permissions),
        )


class Sessions:
    """Seals sessions into cookies and opens them again."""

    def __init__(self, key: str, *, is_secure: bool, hours: int) -> None:
        self._keypair = Keypair.derived(key.encode(), _PURPOSE)
        self._is_secure, self.lasts_s = is_secure, hours * 3600

    def open(self, cookie: str | None, now: datetime) -> Session | None:
        """Return the session in a cookie, None when there is none, or it is over, or not ours."""
        if not cookie or len(cookie) > _LONGEST:
            return None
        try:
            said = orjson.loads(self._keypair.open(base64.urlsafe_b64decode(cookie)))
            permissions = said.pop("permissions")
            known = None if permissions is None else tuple(permissions)
            session = Session(permissions=known, **said)
        except (Refused, NotBase64, ValueError, TypeError, KeyError):
            return None
        return session if session.ends_at > now.timestamp() else None

    def keep(self, response: Response, session: Session, now: datetime) -> None:
        """Put a session into an answer's cookie."""
        plain = orjson.dumps(session)
        sealed = base64.urlsafe_b64encode(seal(self._keypair.public, plain)).decode()
        if len(sealed) > _LONGEST:
            raise Refused("this token is too long to be kept in a cookie")
        self._set(response, sealed, max(0, int(session.ends_at - now.timestamp())))

    def forget(self, response: Response) -> None:
        """Take the cookie away."""
        self._set(response, "", 0)

    def _set(self, response: Response, value: str, max_age: int) -> None:
        response.set_cookie(
            COOKIE, value, max_age=max_age, path="/", secure=self._is_secure, httponly=True,
            samesite="strict",
        )  # fmt: skip
