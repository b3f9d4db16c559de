"""Who may do what: every route declares its permission, and one that does not stops the start."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import structlog
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from services.chassis.errors import Bug
from services.chassis.problems import Render, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import APIRouter
    from pydantic import SecretStr
    from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger(__name__)

UNAUTHORIZED, FORBIDDEN = 401, 403


class Permission(StrEnum):
    """What a route asks of who comes in."""

    PUBLIC = "public"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; its name is the actor of what it causes."""

    name: str
    permissions: frozenset[Permission]


class Authenticator(Protocol):
    """What tells who asks."""

    async def principal(self, headers: Headers) -> Principal | None:
        """Return who asks, or None for nobody we know."""


class StaticToken:
    """One token that may do everything, sent as `Authorization: Bearer` or `X-API-Key`."""

    def __init__(self, token: SecretStr, name: str = "api") -> None:
        self._digest = _digest(token.get_secret_value())
        self._principal = Principal(name, frozenset(Permission))

    async def principal(self, headers: Headers) -> Principal | None:
        """Return the token's principal; the time it takes says nothing about the token."""
        sent = _sent(headers)
        return self._principal if hmac.compare_digest(_digest(sent), self._digest) else None


class Authentication:
    """Refuses strangers under the API's prefix before their body is read."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, prefix: str, render: Render
    ) -> None:
        self._app, self._authenticator = app, authenticator
        self._prefix, self._render = prefix, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note who asks, or answer 401."""
        if scope["type"] == "http":
            principal = await self._authenticator.principal(Headers(scope=scope))
            scope.setdefault("state", {})["principal"] = principal
            path = scope["path"]
            if principal is None and _is_under(self._prefix, path):
                client = scope.get("client")
                log.warning("stranger refused", path=path, address=client[0] if client else None)
                detail = "send the API token as Authorization: Bearer, or as X-API-Key"
                response = self._render(path, refusal(path, UNAUTHORIZED, "unauthorized", detail))
                response.headers["www-authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Requires:
    """A route's declaration of the permission it asks for."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> None:
        """Let those with the permission pass, answer 403 to the others."""
        principal: Principal | None = getattr(request.state, "principal", None)
        if self.permission is Permission.PUBLIC:
            return
        if principal is None or self.permission not in principal.permissions:
            raise HTTPException(FORBIDDEN, f"the permission {self.permission} is needed")


PUBLIC, READ, OPERATE, ADMIN = (
    Depends(Requires(permission))
    for permission in (
        Permission.PUBLIC,
        Permission.READ,
        Permission.OPERATE,
        Permission.ADMIN,
    )
)


def check_declared(routers: Iterable[APIRouter]) -> None:
    """Raise Bug when any route does not say which one permission it asks for."""
    for router in routers:
        for route in router.routes:
            calls = route.dependant.dependencies if isinstance(route, APIRoute) else ()
            declared = [each for each in calls if isinstance(each.call, Requires)]
            if len(declared) != 1:
                raise Bug(f"the route {getattr(route, 'path', route)} declares no permission")


def _sent(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key", "")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _is_under(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
