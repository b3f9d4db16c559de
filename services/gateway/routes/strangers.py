"""How often an address may be wrong about who asks: then it is told to wait, and nobody looks."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from services.chassis.problems import refusal
from services.gateway.routes.streams import TOO_MANY

if TYPE_CHECKING:
    from services.chassis.addresses import Proxies
    from services.chassis.problems import Problem
    from services.gateway.routes.limits import Paces

REMEMBERED = 10_000
_DETAIL = "too many from this address were refused: try again later"


class Strangers:
    """Counts the refused by their address.

    Whoever was right here lately is always looked at: strangers behind the same proxy keep out
    only those whom this process has not seen yet. What is remembered opens nothing by itself.
    """

    def __init__(self, paces: Paces, proxies: Proxies) -> None:
        self._paces, self._proxies = paces, proxies
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def too_often(self, connection: HTTPConnection, shown: str) -> Problem | None:
        """Return what to answer instead of looking who it is, None when there is room."""
        if shown and _digest(shown) in self._known:
            return None
        wait_s = self._paces.until_refused(self._proxies.address(connection))
        if not wait_s:
            return None
        problem = refusal(connection.scope["path"], TOO_MANY, "too_many_requests", _DETAIL)
        return replace(problem, headers={"retry-after": str(math.ceil(wait_s))})

    def was_right(self, shown: str) -> None:
        """Remember what proved somebody."""
        digest = _digest(shown)
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def was_wrong(self, connection: HTTPConnection, shown: str) -> None:
        """Count one who was refused; what they showed proves nothing any more."""
        self._known.pop(_digest(shown), None)
        self._paces.count_refused(self._proxies.address(connection))


def _digest(shown: str) -> bytes:
    return hashlib.sha256(shown.encode("utf-8", "replace")).digest()
