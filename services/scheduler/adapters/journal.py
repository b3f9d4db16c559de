"""The journal's reads that answers are made of: single facts, and positions of moments."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis import wire
from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contracts.envelope import Recorded
    from services.chassis.ports import Bus

TIMEOUT_S = 5.0


class JournalOverBus:
    """Asks the journal."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def facts(
        self, positions: Sequence[int], stream: str | None, through: int
    ) -> list[Recorded]:
        """Return facts at positions and the latest of a stream, in order; raises Unavailable."""
        question = {"positions": positions, "stream": stream, "through": through}
        return list(wire.decode_run(await self._ask("facts", question)))

    async def when(self, point: int | datetime) -> tuple[int, datetime]:
        """Return a point of the log as position and moment.

        Raises Refused, naming as_of, for one in the future or before the beginning.
        """
        name = "at" if isinstance(point, datetime) else "position"
        try:
            said = orjson.loads(await self._ask("moment", {name: point}))
        except Refused as error:
            raise Refused(error.detail, field="as_of") from error
        return said["position"], datetime.fromisoformat(said["at"])

    async def _ask(self, op: str, question: Mapping[str, Any]) -> bytes:
        headers, body = await self._bus.ask(
            wire.EXCHANGE_JOURNAL,
            wire.QUEUE_JOURNAL,
            orjson.dumps({"op": op, **question}),
            timeout_s=TIMEOUT_S,
        )
        if "error" in headers:
            raise Refused(str(headers["error"]))
        return body
