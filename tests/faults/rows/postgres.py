"""Rows 21 to 29: the database loses a backend, restarts, has no room, is blocked, is put back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psutil

from tests.faults.registry import row

if TYPE_CHECKING:
    from tests.faults.ground import Ground


@row(
    21,
    "one PostgreSQL backend killed",
    "all connections drop, pools heal, no append is partial",
    "SIGKILL of the journal's own backend",
)
async def backend_killed(ground: Ground) -> None:
    async with ground.trial("backend-killed"):
        psutil.Process(await ground.backend("qm_journal")).kill()


@row(
    22,
    "immediate restart of PostgreSQL",
    "what was committed is there; control is back in 30 s",
    "stop in mode immediate, start on the same data",
)
async def restarts(ground: Ground) -> None:
    async with ground.trial("postgres-restarted"):
        await asyncio.to_thread(ground.database.restart)
