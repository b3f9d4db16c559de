"""Runs rows one after the other on one fleet, which is made anew after a row that failed."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.fleet import started
from tests.faults import proofs, table
from tests.faults.ground import Ground

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.registry import Row, Scenario

ROW_WITHIN_S = 240.0


@dataclass
class Outcome:
    """What became of a row; recovery_s: until control was back, None where nobody measured."""

    row: Row
    problem: str = ""
    recovery_s: float | None = None
    took_s: float = 0.0

    @property
    def was_run(self) -> bool:
        """Whether it can be run here at all."""
        return not self.row.not_run

    @property
    def passed(self) -> bool:
        """Whether what must hold held."""
        return not self.problem

    @property
    def said(self) -> str:
        """One word or sentence for the table."""
        if not self.was_run:
            return f"not run: {self.row.not_run}"
        return self.problem or "held"


class Runner:
    """One fleet at a time, started when the first row needs it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._ground: Ground | None = None

    async def live_through(self, row: Row, scenario: Scenario) -> Outcome:
        """Run a row's scenario; a fleet that a failed row leaves behind is not used again."""
        ground = await self._fleet()
        ground.trials.clear()
        outcome, begun = Outcome(row), time.monotonic()
        try:
            async with asyncio.timeout(ROW_WITHIN_S):
                await scenario(ground)
        except Exception as error:  # noqa: BLE001 (this row failed, the others still tell)
            traceback.print_exc(file=sys.stderr)
            outcome.problem = f"{type(error).__name__}: {error}"[:300]
            await self.close()
        outcome.took_s = time.monotonic() - begun
        outcome.recovery_s = max((trial.recovery_s for trial in ground.trials), default=None)
        return outcome

    async def close(self) -> None:
        """End the fleet, if there is one."""
        self._ground = None
        await self._stack.aclose()

    async def _fleet(self) -> Ground:
        if self._ground is None:
            self._ground = await self._stack.enter_async_context(started(Ground))
        return self._ground


async def run(rows: Sequence[Row]) -> list[Outcome]:
    """Run rows; print what became of them."""
    runner = Runner()
    outcomes = [Outcome(row) for row in rows if row.not_run]
    proven = await asyncio.to_thread(
        proofs.run, [row for row in rows if row.tests and not row.not_run]
    )
    try:
        for row in rows:
            if row.not_run:
                continue
            outcome = Outcome(row)
            if row.scenario is not None:
                table.begins(row)
                outcome = await runner.live_through(row, row.scenario)
            if row.tests:
                proof = proven[row.number]
                outcome.took_s += proof.took_s
                outcome.problem = outcome.problem or proof.problem
            outcomes.append(outcome)
            table.ended(outcome)
    finally:
        await runner.close()
    table.summary(outcomes)
    return outcomes
