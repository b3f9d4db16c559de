"""How far the read models are, asked once for all who wait."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.database import Queries
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from services.chassis.database import Statements

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
_BETWEEN_LOOKS_S = 0.01


class CheckpointWatch:
    """Looks at the checkpoint while somebody waits for it, and not otherwise."""

    def __init__(self, database: Statements, *, wait_s: float) -> None:
        self._database, self._wait_s = database, wait_s
        self._position = 0
        self._look: asyncio.Task[None] | None = None

    async def reach(self, position: int) -> None:
        """Return once the read models have folded this position; Unavailable when out of time."""
        if position <= self._position:
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._until(position)
        except TimeoutError:
            raise Unavailable(
                f"the read models are at {self._position}, not yet at {position}"
            ) from None

    async def _until(self, position: int) -> None:
        while True:
            await asyncio.shield(self._looking())
            if position <= self._position:
                return
            await asyncio.sleep(_BETWEEN_LOOKS_S)

    def _looking(self) -> asyncio.Task[None]:
        """Return the look under way, shared by all who wait, or begin one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._see())
        return self._look

    async def _see(self) -> None:
        self._position = int(await self._database.fetchval(_QUERIES["checkpoint"]) or 0)
