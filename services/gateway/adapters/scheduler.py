"""The scheduler's answers, over the bus: bytes in, the same bytes out, refusals as our errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.chassis import wire
from services.chassis.errors import (
    Bug,
    Conflict,
    NotFound,
    QuartermasterError,
    Refused,
    Unavailable,
)
from services.chassis.sharing import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.chassis.ports import Bus

QUEUE = "scheduler.asked"
PATIENCE_S = 15.0
_CLASSES: dict[str, type[QuartermasterError]] = {
    each.code: each for each in (Refused, NotFound, Conflict, Unavailable, Bug)
}


class SchedulerOverBus:
    """Asks whichever process of the scheduler answers first."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._shared = Shared[tuple[bytes, int]]()

    async def explain(self, question: Mapping[str, Any]) -> tuple[bytes, int]:
        """Return an explanation as JSON, and the position it holds for.

        Raises Refused, NotFound, Conflict or Unavailable.
        """
        body = orjson.dumps({"op": "explain", **question})
        return await self._shared.read(body, lambda: self._explain(body))

    async def _explain(self, body: bytes) -> tuple[bytes, int]:
        try:
            headers, answer = await self._bus.ask(
                wire.EXCHANGE_ASKED, QUEUE, body, timeout_s=PATIENCE_S
            )
        except Refused as error:  # nobody has declared its queue yet
            raise Unavailable(error.detail) from error
        if "error" in headers:
            raise _error(orjson.loads(answer))
        return answer, int(headers["position"])


def _error(said: Mapping[str, Any]) -> QuartermasterError:
    named = {"field": said["field"]} if said.get("field") else {}
    return _CLASSES.get(said["error"], Bug)(said["detail"], **named)
