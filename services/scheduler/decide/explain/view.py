"""What a question is answered from: the fleet as it is decided on, and the facts at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

from contracts.http.explain import ReasonTold
from contracts.policies import validate_parameters
from services.scheduler.decide import deliberate
from services.scheduler.decide.explain.clauses import because
from services.scheduler.decide.explain.search import EPOCH
from services.scheduler.decide.explain.words import Names
from services.scheduler.policies import MEASURES
from services.scheduler.state.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from contracts.envelope import Recorded
    from contracts.types import Alternative, Reason
    from services.scheduler.decide.explain.subject import Subject
    from services.scheduler.state import State


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about a subject.

    reasons: ranked, the dominant one first. lost: who came closest and lost.
    """

    status: str
    sentence: str
    reasons: list[ReasonTold]
    lost: Sequence[Alternative] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass
class View:
    """The fleet at one position and moment, decided on once; facts in the log's order."""

    state: State
    position: int
    now: datetime
    subject: Subject
    facts: Sequence[Recorded] = ()

    @cached_property
    def names(self) -> Names:
        """What things are called."""
        return Names(self.state, self.facts)

    @cached_property
    def plan(self) -> Plan:
        """What is decided at this moment."""
        return deliberate(self.state, self.now, EPOCH)

    @cached_property
    def judged(self) -> tuple[str, Any] | None:
        """The first policy that can be obeyed, and its parameters."""
        for strategy in self.state.ordered_strategies():
            if strategy.problem is None:
                return strategy.policy, validate_parameters(strategy.policy, strategy.parameters)
        return None

    @cached_property
    def numbers(self) -> dict[str, dict[str, Any]]:
        """What that policy judges each model by, before deciding; most requested first."""
        if self.judged is None:
            return {}
        policy, parameters = self.judged
        return MEASURES[policy](Plan(self.state, self.now, EPOCH), parameters)

    @property
    def idle_s(self) -> int | None:
        """How long a model must be asked nothing to be idle (s), if that policy knows."""
        idle_s = self._parameter("idle_s")
        return None if idle_s is None else ceil(idle_s)

    @property
    def retry_base_s(self) -> float | None:
        """The first wait after a failed start (s), if that policy knows."""
        return self._parameter("retry_base_s")

    def _parameter(self, name: str) -> float | None:
        value: float | None = getattr(self.judged[1], name, None) if self.judged else None
        return value

    def latest(self, *types: str, **where: Any) -> Recorded | None:
        """Return the newest fact at hand of these types that says so."""
        for fact in reversed(self.facts):
            fits = all(fact.data.get(name) == value for name, value in where.items())
            if fact.type in types and fits:
                return fact
        return None

    def says(self, reason: Reason) -> str:
        """Return a reason as the part of a sentence behind `because`."""
        return because(reason, self.names)

    def now_told(self, sentence: str, code: str, numbers: Mapping[str, Any]) -> ReasonTold:
        """Return a reason that holds now and is in no event."""
        return ReasonTold(
            code=code,
            sentence=sentence,
            numbers=dict(numbers),
            position=self.position,
            at=self.now,
            recorded=False,
        )
