"""One search for what would change an outcome, and how what it finds is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.http.explain import Change, Counterfactual, Effect
from services.scheduler.decide.explain.changes import EXTRA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from services.scheduler.decide.explain.search import Goal, Make, Steps, WhatIf
    from services.scheduler.decide.explain.view import View
    from services.scheduler.state import State
    from services.scheduler.state.entities import Model

FEW = 2  # nodes, GPUs, strategies or rivals that are tried, of each kind


@dataclass
class Case:
    """A goal that is not reached as things are, and everything needed to try others."""

    view: View
    what_if: WhatIf
    goal: Goal

    @property
    def state(self) -> State:
        """The fleet as it is."""
        return self.view.state

    @property
    def now(self) -> datetime:
        """The moment it is decided at."""
        return self.view.now

    def happens(self, state: State, now: datetime | None = None) -> Steps[Effect | None]:
        """Return what a changed state leads to."""
        return self.what_if.happens(self.goal, state, now)

    def smallest(
        self, make: Make, low: int, high: int, hint: int | None = None
    ) -> Steps[tuple[int, Effect] | None]:
        """Return the smallest number that does it."""
        return self.what_if.smallest(self.goal, make, low, high, hint)

    def tell(self, code: str, condition: str, change: Change, effect: Effect) -> Counterfactual:
        """Return what was found: `condition` is the first half of its sentence."""
        sentence = f"If {condition}, {self._then(effect)}."
        return Counterfactual(code=code, sentence=sentence, change=change, effect=effect)

    def _then(self, effect: Effect) -> str:
        names = self.view.names
        model = names.model(effect.model_id)
        place = "" if effect.node_id in (None, EXTRA) else f" on {names.gpu(effect.gpu_uuid)}"
        if effect.code == "starts":
            return f"{model} would start{place}"
        if effect.code == "serves_again":
            return f"{model} would have its instance there back"
        victim = names.of(f"instance/{effect.instance_id}")
        if effect.code == "makes_room":
            return f"{victim} would be stopped to make room for {model}"
        return f"{victim} would be stopped"

    # Who else is there.

    def mean_of(self, model: Model) -> float | None:
        """Return the mean length of a model's queue as it is judged by, None if there is none."""
        numbers = self.view.numbers.get(model.model_id, {})
        mean: Any = numbers.get("mean_length") if numbers.get("samples") else None
        return None if mean is None else float(mean)

    def rivals(self, *, without: str | None, name_fits: str | None = None) -> Iterator[Model]:
        """Yield the models that could want more, most requested first."""
        node = self.state.nodes.get(name_fits or "")
        for model_id in self.view.numbers:
            model = self.state.models[model_id]
            fits = node is None or node.supports(model.name)
            is_free = self.view.plan.in_flight(model) is None
            if model_id != without and fits and is_free and model.live < model.max_instances:
                yield model


def flag(subject: str, field: str, *, needed: bool, unit: str = "") -> Change:
    """Return the change of a yes to a no, or of a no to a yes."""
    return Change(subject=subject, field=field, today=not needed, needed=needed, unit=unit)
