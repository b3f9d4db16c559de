"""What the projector's handlers stand on, declared where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from contracts.envelope import Recorded
    from services.projector.decide import Build, BuildState, Difference, Made, Order, Plan
    from services.projector.state import Batch, Changes, Checkpoint, Entry, Series, Version


class Log(Protocol):
    """The event log."""

    async def after(self, checkpoint: Checkpoint, limit: int, until: int | None = None) -> Batch:
        """Return what follows, at most through `until`.

        Raises Bug at a hole, Rewound where the log is not what it was.
        """

    async def skips(self, event: Recorded) -> bool:
        """Tell whether an operator let this event pass."""


class Writing(Protocol):
    """One transaction over the read models."""

    async def save(self, model: str, changes: Changes) -> None:
        """Write rows and the versions that they replace."""

    async def append(self, series: Series, entries: Sequence[Entry]) -> None:
        """Append entries, and trim a series that is to be."""

    async def move(self, before: Checkpoint, after: Checkpoint) -> None:
        """Move the checkpoint; raises Fenced when it is not where we left it."""


class ReadModels(Protocol):
    """The tables of the read models: the live ones, or those of a build."""

    async def checkpoint(self) -> Checkpoint:
        """Return where they stand."""

    async def rows(self, model: str, keys: Sequence[str]) -> dict[str, Version]:
        """Return the rows of these keys, those that exist."""

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """Begin a transaction, committed at the end of its block."""

    def beside(self, other: Any) -> Writing:
        """Return a way to write in the transaction of others."""


class Wakeup(Protocol):
    """Something that tells that the log may have grown."""

    async def wait(self, timeout_s: float) -> None:
        """Return at a hint, or after the time-out."""


class Builds(Protocol):
    """The builds, their tables and what is known of the live ones."""

    async def made(self) -> Mapping[str, Made]:
        """Return how each live model was made."""

    async def settle(self, fingerprints: Mapping[str, str]) -> None:
        """Note that live models are made by today's projections from the first event on."""

    async def orders(self) -> Sequence[Order]:
        """Return the orders that no build answers yet, oldest first."""

    async def orders_after_rewind(self) -> Sequence[Order]:
        """Return the orders in the log that the live read models have not folded."""

    async def unfinished(self) -> Build | None:
        """Return a build that was begun and is not over."""

    async def begin(self, plan: Plan) -> Build:
        """Make a build with its empty tables."""

    async def answer(self, plan: Plan, problem: str | None) -> None:
        """Note what came of an order without a build: nothing to do, or a problem."""

    async def tell(self, build: Build, state: BuildState, problem: str | None = None) -> None:
        """Note what a build is doing, and what keeps it from going on."""

    async def index(self, build: Build) -> None:
        """Make the indexes of a build's tables."""

    async def trim(self, build: Build) -> None:
        """Trim the series of a build that are to be."""

    async def carry_over(self, build: Build, models: Sequence[str]) -> None:
        """Take over from these models what only telemetry could tell that was dropped since."""

    async def differences(self, build: Build, models: Sequence[str]) -> Sequence[Difference]:
        """Return how these models differ from the live ones; both stand at the same position."""

    async def swap_in(
        self, build: Build, differences: Sequence[Difference], *, rewound: bool
    ) -> None:
        """Make a build's tables the live ones; raises Unavailable while readers hold them."""

    async def conclude(self, build: Build, differences: Sequence[Difference]) -> None:
        """Note how a build that was made to be compared differs, and drop its tables."""

    async def give_up(self, build: Build, problem: str) -> None:
        """Drop a build's tables."""

    async def drop_replaced(self, grace_s: float) -> Sequence[str]:
        """Drop tables that were replaced so long ago; return their names."""
