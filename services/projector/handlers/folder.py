"""Folds batches for one set of tables, knowing the rows that it folded last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import structlog

from services.projector.state import Changes, Indigestible, Projection, grouped, readers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from contracts.envelope import Recorded
    from services.projector.handlers.ports import ReadModels, Writing
    from services.projector.state import Entry, Model, Series, Version

Each = TypeVar("Each")
log = structlog.get_logger(__name__)

CACHED_ROWS = 20_000
SLICE = 250  # events folded before others get their turn


@dataclass(slots=True)
class Folded:
    """What a batch changes in each read model."""

    rows: dict[Projection, Changes] = field(default_factory=dict)
    entries: dict[Series, list[Entry]] = field(default_factory=dict)

    async def write(self, tx: Writing) -> None:
        """Write all of it."""
        for projection, changes in self.rows.items():
            await tx.save(projection.name, changes)
        for series, entries in self.entries.items():
            await tx.append(series, entries)


Known = dict[str, "Version | None"]


class Folder:
    """Folds for these tables; as long as it goes on, nobody else writes them.

    cached: rows kept in memory of each model; the least lately used are forgotten first.
    """

    def __init__(
        self, read_models: ReadModels, models: Sequence[Model], *, cached: int = CACHED_ROWS
    ) -> None:
        self._read_models, self._models, self._cached = read_models, tuple(models), cached
        self._readers = readers_of(self._models)
        self._known: dict[str, Known] = {}
        self._outdated: frozenset[str] = frozenset()
        self._frozen: set[str] = set()

    def forget(self) -> None:
        """Forget all rows: somebody else may have changed them, or they were not committed."""
        self._known.clear()

    def expect(self, *, outdated: Iterable[str], unmade: Iterable[str]) -> None:
        """Know which models wait for their rebuild.

        outdated: their rows are of another projection than today's; where that cannot digest an
        event on top of them, they stay as they are. unmade: they have no rows, and get none.
        """
        self._outdated, left_out = frozenset(outdated), frozenset(unmade)
        self._frozen.clear()
        self._readers = readers_of(each for each in self._models if each.name not in left_out)
        self.forget()

    async def fold(self, events: Iterable[Recorded]) -> Folded:
        """Return what these events change.

        Raises Indigestible, and then all is to be forgotten: some rows have a part of them.
        """
        folded = Folded()
        for model, own in grouped(events, self._readers).items():
            if model.name in self._frozen:
                continue
            try:
                if isinstance(model, Projection):
                    await self._fold_rows(model, own, folded)
                else:
                    await self._fold_entries(model, own, folded)
            except Indigestible as error:
                if model.name not in self._outdated:
                    raise
                self._known.pop(model.name, None)
                self._freeze(error)
        return folded

    def evict(self, unwritten: Folded) -> None:
        """Forget what was used least lately; what is not written yet cannot be read again."""
        for projection, changes in unwritten.rows.items():
            known = self._known.get(projection.name, {})
            while len(known) > self._cached:
                oldest = next(iter(known))
                if oldest in changes.current or oldest in changes.gone:
                    break
                del known[oldest]

    async def _fold_rows(self, model: Projection, own: list[Recorded], folded: Folded) -> None:
        parts = model.parts(own)
        known = await self._stored(model, dict.fromkeys(key for key, _ in parts))
        changes = Changes()
        async for some in _slices(parts):
            new = model.fold(some, known)
            known.update(new.current)
            known.update(dict.fromkeys(new.gone))
            changes.add(new)
        folded.rows[model] = changes

    async def _fold_entries(self, model: Series, own: list[Recorded], folded: Folded) -> None:
        entries: list[Entry] = []
        async for some in _slices(own):
            entries += model.entries(some)
        if entries:
            folded.entries[model] = entries

    async def _stored(self, model: Projection, keys: Iterable[str]) -> Known:
        known = self._known.setdefault(model.name, {})
        missing = []
        for key in keys:
            if key in known:
                known[key] = known.pop(key)  # to the end: used last
            else:
                missing.append(key)
        if missing:
            found = await self._read_models.rows(model.name, missing)
            known.update((key, found.get(key)) for key in missing)
        return known

    def _freeze(self, error: Indigestible) -> None:
        self._frozen.add(error.projection)
        log.warning("an outdated read model stays as it is until its rebuild", because=str(error))


async def _slices(items: Sequence[Each]) -> AsyncIterator[Sequence[Each]]:
    """Yield them some at a time; between, whoever waits for the database gets its answer."""
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]
        await asyncio.sleep(0)
