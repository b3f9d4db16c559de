"""The journal's word on who is behind the log, over the bus."""

from __future__ import annotations

import orjson

from services.alerter.state import Lag
from services.chassis import wire
from services.chassis.errors import Unavailable
from services.chassis.ports import Bus

TIMEOUT_S = 5.0


class JournalOverBus:
    """Asks whichever journal answers first."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def lag(self) -> Lag:
        """Return where those stand who follow the log; raises Refused or Unavailable."""
        headers, body = await self._bus.ask(
            wire.EXCHANGE_JOURNAL,
            wire.QUEUE_JOURNAL,
            orjson.dumps({"op": "lag"}),
            timeout_s=TIMEOUT_S,
        )
        if "error" in headers:
            raise Unavailable(str(headers["error"]))
        said = orjson.loads(body)
        published, read_models = said["published"], said["read_models"]
        return Lag(
            head=said["head"],
            published=published["position"],
            published_behind_s=published["behind_s"],
            read_models_behind_s=read_models["behind_s"] if read_models else None,
            parked=said["parked"],
        )
