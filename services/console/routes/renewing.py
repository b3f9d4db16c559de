"""Tokens that run out are exchanged for new ones, which whatever is answered then carries."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from services.chassis.errors import QuartermasterError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from services.console.routes.sessions import Session
    from services.console.routes.visiting import House

REMEMBERED_S = 60.0
_COOKIE = "set-cookie"
_KEPT = "renewed_cookie"


class Renewals:
    """Refresh tokens are good once: requests that come together share what one of them got."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = asyncio.Lock()
        self._known: dict[str, tuple[float, Session]] = {}

    async def renewed(self, session: Session, request: Request) -> Session:
        """Return the session with new tokens, or as it is when they cannot be had."""
        now_s = self._house.clock.now().timestamp()
        async with self._lock:
            self._known = {token: kept for token, kept in self._known.items() if kept[0] > now_s}
            token = session.refresh or ""
            if token not in self._known:
                new = await self._exchanged(session, token, request)
                if new is None:
                    return session
                self._known[token] = (now_s + REMEMBERED_S, new)
            return self._known[token][1]

    async def _exchanged(self, session: Session, token: str, request: Request) -> Session | None:
        """Return the session with new tokens and with what its owner may do by now."""
        house = self._house
        answer = await house.gateway.refresh(house.calling(request), token)
        if not answer.is_good:
            return None
        new = session.renewed(answer.data, house.clock.now())
        with suppress(QuartermasterError):  # the old token is used up, so the new one is kept
            me = await house.gateway.me(house.calling(request, new.bearer))
            if me.is_good:
                return new.known_as(me.data)
        return new


def keep(request: Request, session: Session) -> None:
    """Have the answer to a request carry a session, whatever that answer is."""
    house: House = request.app.state.house
    carrier = Response()
    house.sessions.keep(carrier, session, house.clock.now())
    setattr(request.state, _KEPT, carrier.headers[_COOKIE])


class Carrier:
    """Puts what is to be kept into answers, also into those that say what went wrong.

    Tokens that were exchanged are used up: a browser that is not told of the new ones shows the
    old ones again, and the gateway takes that for theft and ends the session.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the cookie unless the answer has one of its own."""

        async def carrying(message: Message) -> None:
            kept = scope.get("state", {}).get(_KEPT)
            if kept and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if _COOKIE not in headers:
                    headers[_COOKIE] = kept
            await send(message)

        await self._app(scope, receive, carrying)
