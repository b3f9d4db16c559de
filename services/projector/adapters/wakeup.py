"""The wake-up: anything on `qm.recorded` hints that the log has grown; the log itself is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.chassis.ports import Bus

log = structlog.get_logger(__name__)

_BETWEEN_ATTEMPTS_S = 1.0


class BusWakeup:
    """Hints from the broker; without one, the time-out of each wait is the pace."""

    def __init__(self, connect: Callable[[], Awaitable[Bus]], service: str) -> None:
        self._connect, self._service = connect, service
        self._hint = asyncio.Event()
        self.head = 0  # the newest position heard of

    async def wait(self, timeout_s: float) -> None:
        """Return at a hint, or after the time-out."""
        try:
            await asyncio.wait_for(self._hint.wait(), timeout_s)
        except TimeoutError:
            return
        self._hint.clear()

    async def run(self) -> None:
        """Listen for ever; a broker that is away is tried again."""
        bus = await self._connected()
        try:
            while True:
                try:
                    await self._listen(bus)
                except Unavailable as error:
                    log.warning("no hints from the broker", detail=error.detail)
                await asyncio.sleep(_BETWEEN_ATTEMPTS_S)
        finally:
            await bus.close()

    async def _connected(self) -> Bus:
        while True:
            try:
                return await self._connect()
            except Unavailable as error:
                log.warning("the broker does not answer", detail=error.detail)
            await asyncio.sleep(_BETWEEN_ATTEMPTS_S)

    async def _listen(self, bus: Bus) -> None:
        inbox = await bus.follow(self._service)
        try:
            async for delivery in inbox:
                said = delivery.headers.get("head") or delivery.headers.get("to") or 0
                self.head = max(self.head, int(said))
                self._hint.set()
        finally:
            await inbox.close()
