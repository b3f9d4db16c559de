"""Read the log, fold it into the read models, commit rows and checkpoint together."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from services.chassis.errors import Bug
from services.projector.projections import PROJECTIONS, SERIES
from services.projector.state import Batch, Indigestible, Projection, Series, grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contracts.envelope import Recorded
    from services.chassis.clock import Clock
    from services.projector.state import Changes, Checkpoint, Entry, Version

BATCH = 5_000
POLL_S = 1.0


class Stuck(Bug):
    """An event cannot be digested: only a recorded fold.skipped lets it pass."""


class Log(Protocol):
    """The event log."""

    async def after(self, checkpoint: Checkpoint, limit: int) -> Batch:
        """Return what follows; raises Bug at a hole or where the log is not what it was."""

    async def skips(self, event: Recorded) -> bool:
        """Tell whether an operator let this event pass."""


class Writing(Protocol):
    """One transaction over the read models."""

    async def rows(self, model: str, keys: Sequence[str]) -> dict[str, Version]:
        """Return the rows of these keys, those that exist."""

    async def save(self, model: str, changes: Changes) -> None:
        """Write rows and the versions that they replace."""

    async def append(self, series: Series, entries: Sequence[Entry]) -> None:
        """Append entries, and trim a series that is to be."""

    async def move(self, before: Checkpoint, after: Checkpoint) -> None:
        """Move the checkpoint; raises Fenced when it is not where we left it."""


class ReadModels(Protocol):
    """The tables of the read models."""

    async def checkpoint(self) -> Checkpoint:
        """Return where they stand."""

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """Begin a transaction, committed at the end of its block."""


class Wakeup(Protocol):
    """Something that tells that the log may have grown."""

    async def wait(self, timeout_s: float) -> None:
        """Return at a hint, or after the time-out."""


class Projector:
    """Keeps the read models the fold of the log."""

    def __init__(
        self,
        log: Log,
        read_models: ReadModels,
        *,
        batch: int = BATCH,
        projections: Sequence[Projection] = PROJECTIONS,
        series: Sequence[Series] = SERIES,
    ) -> None:
        self._log, self._read_models, self._batch = log, read_models, batch
        self._projections, self._series = projections, series
        self._checkpoint: Checkpoint | None = None
        self._skipped: set[int] = set()

    async def run(
        self, wakeup: Wakeup, clock: Clock, report: Callable[[str, bool, str], None]
    ) -> None:
        """Project for ever; while stuck at an event, say so and look for its skip."""
        self._checkpoint = None
        while True:
            try:
                count = await self.step()
            except Stuck as error:
                report("projection", False, error.detail)
                await clock.sleep(POLL_S)
                continue
            report("projection", True, f"at {self.position}")
            if count == 0:
                await wakeup.wait(POLL_S)

    @property
    def position(self) -> int:
        """The position up to which the read models are known to stand."""
        return self._checkpoint.position if self._checkpoint else 0

    async def catch_up(self) -> int:
        """Project what is recorded by now; return how many events that were."""
        total = 0
        while count := await self.step():
            total += count
        return total

    async def step(self) -> int:
        """Project one batch; return how many events it had.

        Raises Stuck, Fenced when another projector moved the checkpoint, Bug, Unavailable.
        """
        before = self._checkpoint or await self._read_models.checkpoint()
        self._checkpoint = before
        batch = await self._log.after(before, self._batch)
        while batch.count:
            try:
                await self._commit(before, batch)
            except Indigestible as error:
                batch = await self._digestible(batch, error)
            else:
                self._checkpoint = batch.through
                break
        return batch.count

    async def _digestible(self, batch: Batch, error: Indigestible) -> Batch:
        """Return the batch up to the event, or past it where an operator said so."""
        rest = batch.before(error.event.position)
        if rest is not None:
            return rest
        if not await self._log.skips(error.event):
            raise Stuck(str(error), position=error.event.position) from error
        self._skipped.add(error.event.position)
        return batch

    async def _commit(self, before: Checkpoint, batch: Batch) -> None:
        events = [event for event in batch.events if event.position not in self._skipped]
        parts = {
            projection: projection.parts(own)
            for projection, own in grouped(events, self._projections).items()
        }
        entries = {
            series: series.entries(own) for series, own in grouped(events, self._series).items()
        }
        async with self._read_models.writing() as tx:
            await tx.move(before, batch.through)  # first: it keeps everybody else out
            for projection, touched in parts.items():
                keys = list(dict.fromkeys(key for key, _ in touched))
                stored = await tx.rows(projection.name, keys)
                await tx.save(projection.name, projection.fold(touched, stored))
            for series, own_entries in entries.items():
                await tx.append(series, own_entries)
