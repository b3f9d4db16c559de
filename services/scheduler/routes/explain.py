"""`explain`: for now from a copy of the live state, for a past position from the state of then."""

from __future__ import annotations

import asyncio
import gc
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Protocol
from weakref import ref

from opentelemetry import metrics

from contracts.events.instance import InstanceStartRequested
from services.chassis.errors import Conflict, NotFound, Refused, Unavailable
from services.chassis.supervision import begun
from services.scheduler.decide.explain import explain
from services.scheduler.decide.explain.subject import Ambiguous, Subject, find
from services.scheduler.decide.explain.view import View
from services.scheduler.state.fork import still

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from contracts.envelope import Recorded
    from contracts.http.explain import Explanation
    from services.chassis.clock import Clock
    from services.scheduler.routes.asked import Question
    from services.scheduler.state import State
    from services.scheduler.state.entities import Model, Node

SLICE_S = 0.003
GIVE_WAY_S, LOOK_AGAIN_S = 0.03, 0.001  # how long one answer waits for decisions, and looks
REACH_S = 5.0
COMPARED = 500  # names, to find the one that may be meant
EXPLAINED_MS = metrics.get_meter("quartermaster.scheduler").create_histogram(
    "quartermaster.scheduler.explained", unit="ms", description="How long one answer took."
)
_POSITION = re.compile(r"[0-9]{1,18}")
_LOST_PLUS = re.compile(r"(T.*\d) (\d\d(:?\d\d)?)$")  # a `+` that nobody escaped in a query


class Folding(Protocol):
    """The state being folded behind the answers."""

    @property
    def position(self) -> int:
        """The position everything is folded through."""

    def now(self) -> datetime:
        """Return the log's time."""

    async def reach(self, position: int, timeout_s: float = ...) -> None:
        """Return when everything through `position` is folded; raises Unavailable."""

    async def caught_up(self) -> None:
        """Return when everything known to be recorded is folded."""


class Past(Protocol):
    """States of the past."""

    async def at(self, position: int) -> State:
        """Return the state folded through a position; only to be read."""


class Journal(Protocol):
    """The log, as far as answers need it."""

    async def facts(
        self, positions: Sequence[int], stream: str | None, through: int
    ) -> list[Recorded]:
        """Return facts at positions and the latest of a stream, in order."""

    async def when(self, point: int | datetime) -> tuple[int, datetime]:
        """Return a point of the log as position and moment; raises Refused naming as_of."""


@dataclass(frozen=True)
class Explaining:
    """Explains by the state of this process, leading or not. What it reads it never changes.

    is_deciding: whether a decision is due here, which then comes first.
    """

    state: State
    folding: Folding
    past: Past
    journal: Journal
    clock: Clock
    is_deciding: Callable[[], bool]
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    stills: list[ref[State]] = field(default_factory=list)

    async def explain(self, question: Question) -> Explanation:
        """Return the answer; raises Refused, NotFound, Conflict or Unavailable."""
        began = self.clock.monotonic()
        # What takes long, the past, keeps nobody else waiting.
        then = None if question.as_of is None else await self._then(question)
        explanation = await self._answered(question, then or await self._now(question))
        EXPLAINED_MS.record((self.clock.monotonic() - began) * 1000)
        return explanation

    async def _answered(self, question: Question, view: View) -> Explanation:
        view.facts = await self._facts(view)
        if not view.facts and not _is_known(view):
            raise NotFound(_unknown(question, view.state, view.position))
        async with self.one_at_a_time:  # meanwhile others' facts are read
            return await self._driven(view)

    async def _now(self, question: Question) -> View:
        try:
            async with asyncio.timeout(REACH_S):
                await self.folding.caught_up()
        except TimeoutError as error:
            raise Unavailable("the scheduler is still reading the log") from error
        await self.folding.reach(question.min_position, timeout_s=REACH_S)
        subject = _found(self.state, question, self.folding.position)
        # From here on the fleet may go on: what is explained stays as it was.
        return View(self._still(), self.folding.position, self.folding.now(), subject)

    def _still(self) -> State:
        """Return a copy of the live state; who asks at once, with nothing folded, shares one."""
        copied = self.stills[0]() if self.stills else None
        if copied is None or copied.position != self.state.position:
            copied = still(self.state)
            self.stills[:] = [ref(copied)]  # it goes with the last who looks at it
        return copied

    async def _then(self, question: Question) -> View:
        point = _point(question.as_of or "")
        if isinstance(point, datetime):
            position, moment = await self._when(point, question)
            state = await self.past.at(position)
        else:  # which moment that was, and how it was then, are found side by side
            async with begun(self.past.at(point)) as finding:
                position, moment = await self._when(point, question)
                state = await finding
        return View(state, position, moment, _found(state, question, position))

    async def _when(self, point: int | datetime, question: Question) -> tuple[int, datetime]:
        position, moment = await self.journal.when(point)
        if position < question.min_position:
            detail = f"position {position} is before min_position {question.min_position}"
            raise Refused(detail, field="as_of")
        return position, moment

    async def _facts(self, view: View) -> list[Recorded]:
        """Return what the log holds about the subject; of an ended instance, what came after."""
        subject, through = view.subject, view.position
        facts = await self.journal.facts(subject.positions, subject.stream, through)
        if subject.kind != "instance" or not facts or subject.id in view.state.instances:
            return facts
        known = find(self.state, "model", facts[0].data.get("model_id", ""))
        since = facts[-1].position
        after = [each for each in known.positions if since < each <= through] if known else []
        later = await self.journal.facts(after, None, through) if after else []
        started = (each for each in later if each.type == InstanceStartRequested.type)
        return [*facts, *islice(started, 1)]

    async def _driven(self, view: View) -> Explanation:
        """Go through the steps; the fleet goes on between two of them, and decisions come first."""
        steps, began = explain(view), self.clock.monotonic()
        patience_s = GIVE_WAY_S
        while True:
            gc.disable()  # as for a decision: what is made here is soon gone without it
            try:
                next(steps)
            except StopIteration as done:
                explanation: Explanation = done.value
                return explanation
            finally:
                gc.enable()
            if self.clock.monotonic() - began > SLICE_S:
                await asyncio.sleep(0)
                patience_s -= await self._give_way(patience_s)
                began = self.clock.monotonic()

    async def _give_way(self, patience_s: float) -> float:
        """Return after the decision that is due, or without patience; how long it took (s)."""
        began = self.clock.monotonic()
        while self.is_deciding() and self.clock.monotonic() - began < patience_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN_S)
        return self.clock.monotonic() - began


def _found(state: State, question: Question, position: int) -> Subject:
    try:
        subject = find(state, question.kind, question.id)
    except Ambiguous as error:
        raise Conflict(str(error), field="id") from error
    if subject is None:
        raise NotFound(_unknown(question, state, position))
    return subject


def _unknown(question: Question, state: State, position: int) -> str:
    """Return what is said of what is not there, or was not there yet, with what may be meant."""
    when = "" if question.as_of is None else f" at position {position}"
    known: dict[str, Iterable[Model | Node]] = {
        "model": state.models.values(),
        "node": state.nodes.values(),
    }
    names = [each.name for each in islice(known.get(question.kind, ()), COMPARED)]
    near = get_close_matches(question.id, names, 1)
    meant = f": is {near[0]} meant?" if near else ""
    return f"there is no {question.kind} {question.id}{when}{meant}"


def _is_known(view: View) -> bool:
    kind, id_, state = view.subject.kind, view.subject.id, view.state
    known: dict[str, Container[str]] = {
        "model": state.models,
        "node": state.nodes,
        "gpu": state.gpus,
    }
    return id_ in known.get(kind, ())


def _point(said: str) -> int | datetime:
    """Return a position, or a moment in UTC; raises Refused at anything else."""
    if _POSITION.fullmatch(said):
        return int(said)
    try:
        moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", said))
    except (ValueError, OverflowError):
        detail = "a position of the log, or a time such as 2026-05-04T12:00:00Z, is wanted"
        raise Refused(detail, field="as_of") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
