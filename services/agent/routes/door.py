"""Who may come in: whoever bears the token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis.http import Problem, as_problem_json
from services.chassis.problems import refusal

OPEN = frozenset({"/health"})


class Door:
    """Lets in whoever holds the token, and tells the agent that control has spoken."""

    def __init__(self, app: ASGIApp, token: str, touch: Callable[[], None]) -> None:
        self._app, self._token, self._touch = app, token.encode(), touch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            if not self._knows(Headers(scope=scope).get("authorization", "")):
                await _stranger(scope["path"])(scope, receive, send)
                return
            self._touch()
        await self._app(scope, receive, send)

    def _knows(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._token)


def with_own_code(path: str, problem: Problem) -> Response:
    """Return a problem whose code is the refusal's own (held, expired), not its class's."""
    numbers = dict(problem.numbers)
    code = str(numbers.pop("code", problem.code))
    return as_problem_json(path, replace(problem, code=code, numbers=numbers))


def _stranger(path: str) -> Response:
    problem = refusal(path, 401, "unauthorized", "a bearer token is required")
    return as_problem_json(path, replace(problem, headers={"www-authenticate": "Bearer"}))
