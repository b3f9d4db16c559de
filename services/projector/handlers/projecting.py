"""Read the log, fold it, commit rows and checkpoint together, each while the others go on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.chassis.errors import Bug
from services.projector.handlers.folder import CACHED_ROWS, Folded, Folder
from services.projector.projections import READ_MODELS
from services.projector.state import Batch, Checkpoint, Indigestible, Rewound

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from services.chassis.clock import Clock
    from services.projector.handlers.ports import Log, ReadModels, Wakeup
    from services.projector.state import Model

BATCH = 5_000
POLL_S = 1.0


class Stuck(Bug):
    """An event cannot be digested: only a recorded fold.skipped lets it pass."""


@dataclass
class Tables:
    """A set of tables with the folder that folds for them."""

    read_models: ReadModels
    folder: Folder


@dataclass(frozen=True, slots=True)
class Digested:
    """A batch with what it changes in every set of tables."""

    batch: Batch
    changes: Sequence[Folded]


class Projector:
    """Keeps read models the fold of the log: the live ones, or a build's.

    Others may join: they stand where the first ones stand, and move in the same transactions.
    """

    def __init__(
        self,
        log: Log,
        read_models: ReadModels,
        *,
        batch: int = BATCH,
        models: Sequence[Model] = READ_MODELS,
        cached: int = CACHED_ROWS,
    ) -> None:
        self._log, self._batch = log, batch
        self.tables = Tables(read_models, Folder(read_models, models, cached=cached))
        self._all = [self.tables]
        self._checkpoint: Checkpoint | None = None
        self._skipped: set[int] = set()
        self._turn = asyncio.Lock()
        self._asking = 0
        self.rewound: Rewound | None = None

    async def run(
        self, wakeup: Wakeup, clock: Clock, report: Callable[[str, bool, str], None]
    ) -> None:
        """Project for ever; while stuck at an event, or on another log, say so and look again."""
        self.forget()
        while True:
            try:
                async with self._turn:
                    count = await self._flow()
                self.rewound = None
            except (Stuck, Rewound) as error:
                self.rewound = error if isinstance(error, Rewound) else None
                report("projection", False, str(error))
                await clock.sleep(POLL_S)
                continue
            report("projection", True, f"at {self.position}")
            if count == 0:
                await wakeup.wait(POLL_S)

    @property
    def position(self) -> int:
        """The position up to which the read models are known to stand."""
        return self._checkpoint.position if self._checkpoint else 0

    async def catch_up(self, until: int | None = None) -> int:
        """Project what is recorded by now, or through `until`; return how many events that were.

        Raises Stuck, Fenced when another projector moved the checkpoint, Bug, Unavailable.
        """
        total = 0
        with _as_bug():
            while count := await self._turn_of_flow(until):
                total += count
        return total

    async def _turn_of_flow(self, until: int | None) -> int:
        async with self._turn:
            return await self._flow(until=until)

    async def step(self) -> int:
        """Project one batch and return how many events it had; raises what catch_up raises."""
        with _as_bug():
            async with self._turn:
                return await self._flow(batches=1)

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Let nothing be projected inside the block; what was begun is committed before it."""
        self._asking += 1
        try:
            async with self._turn:
                yield
        finally:
            self._asking -= 1

    def join(self, other: Tables) -> None:
        """Write others as well from here on; they stand where we stand. Only while still."""
        self._all.append(other)

    def part(self, other: Tables) -> None:
        """Write others no longer. Only while still."""
        self._all = [each for each in self._all if each is not other]

    def forget(self) -> None:
        """Know nothing of the tables: look again where they stand and what they hold."""
        self._checkpoint = None
        self._forget_rows()

    async def _flow(self, *, batches: int | None = None, until: int | None = None) -> int:
        """Return how many events were projected until none followed, or somebody asked us to wait.

        One batch is read, one is folded and one is written at the same time.
        """
        at = self._checkpoint = self._checkpoint or await self.tables.read_models.checkpoint()
        reading, writing = self._read(at, until), None
        total = 0
        try:
            while (batch := await reading).count:
                reading = self._read(batch.through, until)
                digested = await self._digest(at, batch, writing)
                if digested.batch is not batch:
                    reading.cancel()
                    reading = self._read(digested.batch.through, until)
                if writing is not None:
                    await writing
                for tables, changes in zip(self._all, digested.changes, strict=True):
                    tables.folder.evict(changes)
                writing = asyncio.create_task(self._write(at, digested))
                at = digested.batch.through
                total += digested.batch.count
                if self._asking or (batches := batches - 1 if batches else None) == 0:
                    break
            if writing is not None:
                await writing
        except BaseException:
            await _over(writing)
            self.forget()
            raise
        finally:
            reading.cancel()
        return total

    def _read(self, at: Checkpoint, until: int | None) -> Task[Batch]:
        reading = asyncio.create_task(self._log.after(at, self._batch, until))
        reading.add_done_callback(_look)
        return reading

    async def _digest(self, at: Checkpoint, batch: Batch, writing: Task[None] | None) -> Digested:
        """Fold a batch, or the part of it before an event that nobody can digest; raises Stuck.

        writing: the commit of the batch before, over when a batch is folded a second time.
        """
        while True:
            events = batch.events
            if self._skipped:
                events = [event for event in events if event.position not in self._skipped]
            try:
                return Digested(batch, [await each.folder.fold(events) for each in self._all])
            except Indigestible as error:
                await self._fold_from_tables(writing)
                batch = await self._before(at, batch, error)

    async def _fold_from_tables(self, writing: Task[None] | None) -> None:
        """Forget all rows, for some have what is folded again; what is read instead is committed.

        So it waits for the batch before: its rows are nowhere else until then.
        """
        if writing is not None:
            await writing
        self._forget_rows()

    def _forget_rows(self) -> None:
        for tables in self._all:
            tables.folder.forget()

    async def _before(self, at: Checkpoint, batch: Batch, error: Indigestible) -> Batch:
        """Return what comes before the event, or the batch where an operator let it pass."""
        position = error.event.position
        if position > at.position + 1:
            rest = await self._log.after(at, self._batch, position - 1)
            if rest.count:
                return rest
        if not await self._log.skips(error.event):
            raise Stuck(str(error), position=position) from error
        self._skipped.add(position)
        return batch

    async def _write(self, before: Checkpoint, digested: Digested) -> None:
        """Commit a batch in every set of tables."""
        after = digested.batch.through
        async with self.tables.read_models.writing() as tx:
            for tables, changes in zip(self._all, digested.changes, strict=True):
                writing = tx if tables is self.tables else tables.read_models.beside(tx)
                await writing.move(before, after)  # first: it keeps everybody else out
                await changes.write(writing)
        self._checkpoint = after


@contextmanager
def _as_bug() -> Iterator[None]:
    """Raise it as a bug where nobody waits for an order to rebuild."""
    try:
        yield
    except Rewound as error:
        raise Bug(str(error), position=error.checkpoint.position) from error


async def _over(task: Task[None] | None) -> None:
    """Wait until what was begun is over, well or not: the tables tell."""
    if task is not None:
        await asyncio.wait({task})
        _look(task)


def _look(task: Task[Any]) -> None:
    """See an error that nobody will wait for: whoever reads or writes next meets it again."""
    if not task.cancelled():
        task.exception()
