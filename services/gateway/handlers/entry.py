"""Who comes in: API keys and tokens judged on what is folded, never on less than is known."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from services.chassis.errors import Unavailable
from services.gateway.decide.api_keys import PREFIX
from services.gateway.decide.claims import holds
from services.gateway.decide.principals import of_key, of_session

if TYPE_CHECKING:
    from services.chassis.clock import Clock
    from services.gateway.decide.principals import Principal
    from services.gateway.handlers.entry_ports import Own
    from services.gateway.handlers.ports import Log
    from services.gateway.state import State

KEY_MARK: Final = "qmk_"
START_S, NEWS_S = 5.0, 2.0


class Judged:
    """The folded state, at least as new as the newest fact about accounts that anybody recorded.

    That is what makes a revocation hold at every gateway the moment it is answered by one.
    """

    def __init__(self, state: State, folded: Log) -> None:
        self._state, self._log = state, folded
        self._has_started = False

    async def at(self, authority: int) -> State:
        """Return the state once it holds for this position; raises Unavailable after a while."""
        if not self._has_started:
            try:
                async with asyncio.timeout(START_S):
                    await self._log.caught_up()
            except TimeoutError as error:
                raise Unavailable("the log is still being read") from error
            self._has_started = True
        if self._log.position < authority:
            await self._log.reach(authority, timeout_s=NEWS_S)
        return self._state


class Entry:
    """Tells who shows an API key or an access token."""

    def __init__(self, judged: Judged, own: Own, clock: Clock) -> None:
        self._judged, self._own, self._clock = judged, own, clock

    async def principal(self, shown: str) -> Principal | None:
        """Return who shows this, None for nobody we know; Unavailable while we cannot tell."""
        if shown.startswith(KEY_MARK):
            return await self._of_key(shown)
        return await self._of_token(shown) if shown else None

    async def _of_key(self, shown: str) -> Principal | None:
        found = await self._own.credentials.key_of(key_digest(shown))
        if found.what is None:
            return None
        state = await self._judged.at(found.authority)
        return of_key(state, found.what.removeprefix(PREFIX), self._clock.now())

    async def _of_token(self, shown: str) -> Principal | None:
        claims, now = self._own.tokens.read(shown), self._clock.now()
        if claims is None or not holds(claims, now):
            return None
        found = await self._own.sessions.find(claims.session_id, now)
        if found.what is None or found.what.account_id != claims.account_id:
            return None
        state = await self._judged.at(found.authority)
        return of_session(state, found.what, claims.expires_at)


def key_digest(shown: str) -> str:
    """Return what is kept of an API key: 256 random bits need no slow digest."""
    return hashlib.sha256(shown.encode("utf-8", "replace")).hexdigest()
