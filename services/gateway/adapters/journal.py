"""The journal's reads, over the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.chassis import wire
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from services.chassis.ports import Bus

VERIFY_TIMEOUT_S = 600.0


class JournalOverBus:
    """Asks the journal what only the log itself can tell."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def verify(self) -> bytes:
        """Return the report of a walk over the whole log, as JSON; raises Unavailable."""
        headers, body = await self._bus.ask(
            wire.EXCHANGE_JOURNAL,
            wire.QUEUE_JOURNAL,
            b'{"op":"verify"}',
            timeout_s=VERIFY_TIMEOUT_S,
        )
        if "error" in headers:
            raise Unavailable(f"the journal refuses: {headers['error']}")
        return body
