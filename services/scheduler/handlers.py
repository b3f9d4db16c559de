"""The scheduler's loop: fold, decide, propose, wait until the answers are folded, and again."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from opentelemetry import metrics

from services.chassis import spans
from services.chassis.errors import Bug, Conflict, Fenced, QuartermasterError, Unavailable
from services.scheduler.decide import decide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from contracts.envelope import Draft, Lease
    from services.chassis.clock import Clock
    from services.scheduler.state import State

log = structlog.get_logger(__name__)
meter = metrics.get_meter("quartermaster.scheduler")
DECISION_S = meter.create_histogram(
    "quartermaster.scheduler.decision.duration",
    unit="s",
    description="How long one pass took to decide.",
    explicit_bucket_boundaries_advisory=[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
)
DECIDED = meter.create_counter(
    "quartermaster.scheduler.proposals",
    unit="{proposal}",
    description="Proposals by verdict of the journal.",
)

PROPOSALS_PER_MESSAGE = 128
AFTER_CONFLICT_S = 1.0

Proposals = list[tuple["Draft", ...]]


class Folding(Protocol):
    """The state being folded behind the decisions."""

    @property
    def is_caught_up(self) -> bool:
        """Whether everything known to be recorded is folded."""

    def now(self) -> datetime:
        """Return the log's time."""

    async def reach(self, position: int, timeout_s: float = ...) -> None:
        """Return when everything through `position` is folded; raises Unavailable."""

    async def caught_up(self) -> None:
        """Return when everything known to be recorded is folded."""

    async def changed(self, timeout_s: float) -> bool:
        """Return once anything was folded since the last call; False after `timeout_s`."""


class Accepted(Protocol):
    """A proposal that was recorded."""

    @property
    def position(self) -> int:
        """The last position of its events."""


class Proposer(Protocol):
    """The scheduler's voice; a verdict is an Accepted, or an error that says why not."""

    async def propose_all(
        self, proposals: Sequence[Sequence[Draft]], lease: Lease | None = None
    ) -> Sequence[Accepted | QuartermasterError]:
        """Return a verdict for each proposal; raises Unavailable."""


class Term(Protocol):
    """One time of leading."""

    @property
    def lease(self) -> Lease:
        """The right to decide."""


class Health(Protocol):
    """Where trouble is shown."""

    def report(self, part: str, ok: bool, detail: str = "") -> None:
        """Say how a part of the service is."""


class Scheduler:
    """Decides while it leads: at once when something changed, and every `interval_s`."""

    def __init__(
        self,
        state: State,
        folding: Folding,
        proposer: Proposer,
        clock: Clock,
        health: Health,
        *,
        interval_s: float,
    ) -> None:
        self._state, self._folding, self._proposer = state, folding, proposer
        self._clock, self._health, self._interval_s = clock, health, interval_s
        self._settled_at: int | None = None

    @property
    def is_deciding(self) -> bool:
        """Whether it leads and something that matters was folded and is not decided on yet."""
        return self._settled_at is not None and self._settled_at != self._state.changes

    async def act(self, term: Term) -> None:
        """Decide until the term is over. Raises Fenced, Unavailable, or Bug."""
        try:
            await self._act(term)
        finally:
            self._settled_at = None

    async def _act(self, term: Term) -> None:
        await self._folding.caught_up()
        # What was folded by now lives on: the collector need not walk it ever again.
        gc.freeze()
        while True:
            await self._folding.caught_up()
            seen = self._state.changes
            proposals = self._decide(term.lease.epoch)
            if not proposals:
                self._settled_at = seen
                await self._wait_for_change(seen)
            elif not await self._propose(proposals, term.lease):
                # Nothing was recorded: the world moved, and we shall hear of it.
                await self._folding.changed(AFTER_CONFLICT_S)

    def _decide(self, epoch: int) -> Proposals:
        self._report_strategies()
        began_at = self._clock.now()
        with _undisturbed():
            began = self._clock.monotonic()
            proposals = decide(self._state, self._folding.now(), epoch)
            took_s = self._clock.monotonic() - began
        DECISION_S.record(took_s)
        log.debug(
            "decided",
            position=self._state.position,
            proposals=len(proposals),
            took_ms=took_s * 1000,
        )
        return spans.decided(proposals, began_at, began_at + timedelta(seconds=took_s), epoch)

    async def _propose(self, proposals: Proposals, lease: Lease) -> int:
        """Return the last position recorded, folded by then; 0 when all were in conflict."""
        position = 0
        for some in _chunks(proposals):
            verdicts = await self._proposer.propose_all(some, lease)
            for drafts, verdict in zip(some, verdicts, strict=True):
                position = max(position, self._take(drafts, verdict))
        if position:
            await self._folding.reach(position)
        return position

    def _take(self, drafts: tuple[Draft, ...], verdict: Accepted | QuartermasterError) -> int:
        """Return the position of what was recorded, 0 for a conflict; raise the rest."""
        if not isinstance(verdict, QuartermasterError):
            DECIDED.add(1, {"quartermaster.verdict": "recorded"})
            log.info("decided", **_told(drafts), position=verdict.position)
            return verdict.position
        DECIDED.add(1, {"quartermaster.verdict": verdict.code})
        if isinstance(verdict, Fenced | Unavailable | Bug):
            raise verdict
        if isinstance(verdict, Conflict):
            log.info("world moved", **_told(drafts), because=verdict.detail)
            return 0
        raise Bug(f"the journal refused our decision: {verdict.detail}", **verdict.numbers)

    async def _wait_for_change(self, seen: int) -> None:
        """Return when something that matters was folded, or when the tick is due."""
        deadline = self._clock.monotonic() + self._interval_s
        while self._state.changes == seen:
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0 or not await self._folding.changed(left_s):
                return

    def _report_strategies(self) -> None:
        problems = [
            f"{strategy.name}: {strategy.problem}"
            for strategy in self._state.ordered_strategies()
            if strategy.problem
        ]
        self._health.report("strategies", not problems, "; ".join(problems))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector out of a pass: in a large fleet it takes longer than deciding."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _chunks(proposals: Proposals) -> Iterator[Proposals]:
    rest = iter(proposals)
    while some := list(islice(rest, PROPOSALS_PER_MESSAGE)):
        yield some


def _told(drafts: tuple[Draft, ...]) -> dict[str, Any]:
    last = drafts[-1]
    reason = getattr(last.event, "reason", None)
    return {
        "type": last.event.type,
        "stream": last.stream,
        "reason": reason.code if reason is not None else None,
    }
