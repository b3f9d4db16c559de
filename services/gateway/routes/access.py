"""Who may do what: every route declares its permission, and one that does not stops the start."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import structlog
from fastapi import Depends
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from contracts.roles import Permission
from services.chassis.errors import Bug, QuartermasterError
from services.chassis.problems import Problem, Render, of_error, refusal
from services.gateway.decide.principals import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import APIRouter
    from pydantic import SecretStr
    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.gateway.routes.strangers import Strangers

log = structlog.get_logger(__name__)

UNAUTHORIZED, FORBIDDEN = 401, 403
_ROUTES = (APIRoute, APIWebSocketRoute)
CHALLENGE = {"www-authenticate": "Bearer"}
KNOCK = "send an access token or an API key as Authorization: Bearer, or as X-API-Key"


class Authenticator(Protocol):
    """What tells who asks."""

    async def principal(self, headers: Headers) -> Principal | None:
        """Return who asks, or None for nobody we know."""


class Entry(Protocol):
    """What knows accounts and API keys."""

    async def principal(self, shown: str) -> Principal | None:
        """Return who shows this, None for nobody we know; Unavailable while it cannot tell."""


class StaticToken:
    """One token that may do everything, sent as `Authorization: Bearer` or `X-API-Key`."""

    def __init__(self, token: SecretStr, name: str = "api") -> None:
        self._digest = _digest(token.get_secret_value())
        self._principal = Principal(name, frozenset(Permission))

    async def principal(self, headers: Headers) -> Principal | None:
        """Return the token's principal; the time it takes says nothing about the token."""
        sent = _sent(headers)
        return self._principal if hmac.compare_digest(_digest(sent), self._digest) else None


class Door:
    """The installation's own token first, which needs no database; then accounts and keys."""

    def __init__(self, own: StaticToken, entry: Entry) -> None:
        self._own, self._entry = own, entry

    async def principal(self, headers: Headers) -> Principal | None:
        """Return who asks, or None for nobody we know; Unavailable while it cannot be told."""
        known = await self._own.principal(headers)
        return known if known is not None else await self._entry.principal(_sent(headers))


class Authentication:
    """Refuses strangers under the API's prefix before their body is read."""

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        prefix: str,
        render: Render,
        strangers: Strangers | None = None,
    ) -> None:
        self._app, self._authenticator = app, authenticator
        self._prefix, self._render, self._strangers = prefix, render, strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note who asks, or answer 401; 503 while that cannot be told, 429 to who asks too much."""
        if scope["type"] in ("http", "websocket"):
            problem = await self._problem(HTTPConnection(scope))
            if problem is not None:
                await self._render(scope["path"], problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _problem(self, connection: HTTPConnection) -> Problem | None:
        """Note who asks in the connection's state; return why they come no further, if so."""
        state, path = connection.state, connection.scope["path"]
        state.principal, state.untold = None, None
        shown = _sent(connection.headers)
        is_within = _is_under(self._prefix, path)
        counts = self._strangers if shown or is_within else None
        if counts and (problem := counts.too_often(connection, shown)):
            return problem
        try:
            state.principal = await self._authenticator.principal(connection.headers)
        except QuartermasterError as error:
            state.untold = error
            return of_error(path, error) if is_within else None
        if state.principal is not None:
            if counts:
                counts.was_right(shown)
            return None
        if counts:
            counts.was_wrong(connection, shown)
        return _stranger(connection) if is_within else None


def _stranger(connection: HTTPConnection) -> Problem:
    path, client = connection.scope["path"], connection.client
    log.warning("stranger refused", path=path, address=client.host if client else None)
    return replace(refusal(path, UNAUTHORIZED, "unauthorized", KNOCK), headers=CHALLENGE)


def who_asks(request: HTTPConnection) -> Principal | None:
    """Return who asks, None for a stranger; raises Unavailable while that cannot be told."""
    untold: QuartermasterError | None = getattr(request.state, "untold", None)
    if untold is not None:
        raise untold
    principal: Principal | None = getattr(request.state, "principal", None)
    return principal


class Requires:
    """A route's declaration of the permission it asks for."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: HTTPConnection) -> None:
        """Let those with the permission pass; 401 for a stranger, 403 for the others."""
        if self.permission is Permission.PUBLIC:
            return
        principal = who_asks(request)
        if principal is None:
            raise HTTPException(UNAUTHORIZED, KNOCK, CHALLENGE)
        if not principal.may(self.permission):
            raise HTTPException(FORBIDDEN, f"the permission {self.permission} is needed")


PUBLIC, KNOWN, HEARTBEAT, READ, OPERATE, ADMIN = (
    Depends(Requires(permission))
    for permission in (
        Permission.PUBLIC,
        Permission.KNOWN,
        Permission.HEARTBEAT,
        Permission.READ,
        Permission.OPERATE,
        Permission.ADMIN,
    )
)


def check_declared(routers: Iterable[APIRouter]) -> None:
    """Raise Bug when any route does not say which one permission it asks for."""
    for router in routers:
        for route in router.routes:
            permission_of(route)


def permission_of(route: BaseRoute) -> Permission:
    """Return what a route asks for; raises Bug when it does not say so, once."""
    calls = route.dependant.dependencies if isinstance(route, _ROUTES) else ()
    declared = [each.call for each in calls if isinstance(each.call, Requires)]
    if len(declared) != 1:
        raise Bug(f"the route {getattr(route, 'path', route)} declares no permission")
    return declared[0].permission


def _sent(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key", "") or offered(headers)


def offered(headers: Headers) -> str:
    """Return the token among a WebSocket's protocols: all that a browser's WebSocket can send."""
    protocols = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
    return protocols[1] if len(protocols) == 2 and protocols[0] == "bearer" else ""  # noqa: PLR2004


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _is_under(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
