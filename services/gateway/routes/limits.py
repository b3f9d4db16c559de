"""How fast one caller may ask: reads and commands each at a pace, 429 to whoever is faster."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.requests import Request

from services.chassis.problems import Render, refusal
from services.gateway.decide.pacing import Limits, Pace, admit
from services.gateway.routes.streams import TOO_MANY, caller_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.chassis.addresses import Proxies
    from services.chassis.clock import Clock

REMEMBERED = 10_000
_REFUSED = "refused"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Paces:
    """Keeps callers to the paces, in this process; those who have rested longest are forgotten."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._due: OrderedDict[tuple[str, str], float] = OrderedDict()

    def early(self, method: str, caller: str) -> tuple[str, Pace, float] | None:
        """Return which limit a request breaks and by how much (s), None when it is let in."""
        kind, pace = self._pace(method)
        if pace is None:
            return None
        early_s = self._take((kind, caller), pace)
        return (kind, pace, early_s) if early_s else None

    def until_refused(self, address: str) -> float:
        """Return for how long nobody unknown from this address is looked at (s), 0 for now."""
        due = self._due.get((_REFUSED, address))
        if due is None or (pace := self._limits.reads) is None:
            return 0.0
        return admit(due, self._clock.monotonic(), pace)[1]

    def count_refused(self, address: str) -> None:
        """Count one that was refused: the pace is that of reads, and who is known takes no part."""
        if (pace := self._limits.reads) is not None:
            self._take((_REFUSED, address), pace)

    def _take(self, key: tuple[str, str], pace: Pace) -> float:
        due, early_s = admit(self._due.get(key, 0.0), self._clock.monotonic(), pace)
        self._due[key] = due
        self._due.move_to_end(key)
        if len(self._due) > REMEMBERED:
            self._due.popitem(last=False)
        return early_s

    def _pace(self, method: str) -> tuple[str, Pace | None]:
        is_read = method in _READS
        return ("reads", self._limits.reads) if is_read else ("commands", self._limits.commands)


class RateLimits:
    """Answers 429 before the body is read; it stands behind authentication, which names callers."""

    def __init__(self, app: ASGIApp, paces: Paces, proxies: Proxies, render: Render) -> None:
        self._app, self._paces, self._proxies, self._render = app, paces, proxies, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or say when to come again."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        principal = scope.get("state", {}).get("principal")
        address = "" if principal else self._proxies.address(Request(scope))
        broken = self._paces.early(scope["method"], caller_of(principal, address))
        if broken is None:
            await self._app(scope, receive, send)
            return
        kind, pace, early_s = broken
        detail = f"{kind}: at most {pace.per_s:g} a second for each caller"
        problem = refusal(scope["path"], TOO_MANY, "too_many_requests", detail)
        headers = {"retry-after": str(math.ceil(early_s))}
        await self._render(scope["path"], replace(problem, headers=headers))(scope, receive, send)
