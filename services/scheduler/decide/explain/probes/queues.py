"""Probes of queues: what if one held more, or nothing for a while."""

from __future__ import annotations

from functools import partial
from itertools import islice
from math import floor
from typing import TYPE_CHECKING

from contracts.http.explain import Change
from services.scheduler.decide.explain import changes
from services.scheduler.decide.explain.case import FEW
from services.scheduler.decide.explain.words import number, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.http.explain import Counterfactual
    from services.scheduler.decide.explain.case import Case
    from services.scheduler.decide.explain.search import Steps
    from services.scheduler.state.entities import Model

    Told = Steps[list[Counterfactual]]


MOST_MESSAGES = 1_000_000
MOST_QUIET_S = 3600


def longer_queue(case: Case, model: Model) -> Told:
    """Try a queue that held more: the smallest mean length that does it."""
    make = partial(changes.queue_of, case.state, case.now, model.model_id)
    today = case.mean_of(model)
    low = floor(today or 0)
    found = yield from case.smallest(make, low, MOST_MESSAGES, _busy_from(case, model))
    if found is None:
        return []
    length, effect = found
    known = "" if today is None else f" rather than {number(round(today, 2))}"
    wait = seconds(length * model.average_inference_time_s)
    change = Change(
        subject=f"model/{model.model_id}",
        field="mean_queue_length",
        today=today,
        needed=length,
        unit="messages",
    )
    condition = f"the queue of {model.name} held {length} on average{known}, {wait} of work"
    return [case.tell("longer_queue", condition, change, effect)]


def _busy_from(case: Case, model: Model) -> int | None:
    """Return the length from which a model counts as busy, as a guess to begin with."""
    numbers = case.view.numbers.get(model.model_id, {})
    threshold_s = numbers.get("busy_threshold_s")
    if threshold_s is None:
        return None
    share = max(1, model.counts["ready"])
    return floor(float(threshold_s) * share / model.average_inference_time_s) + 1


def others_quiet(case: Case, model: Model) -> Told:
    """Try the models that hold what it could use, each asked nothing for long enough."""
    found = []
    for other in islice(_holders(case, model), FEW):
        found += yield from itself_quiet(case, other)
    return found


def itself_quiet(case: Case, model: Model) -> Told:
    """Try a model that nobody asked anything for a while: the shortest that does it."""
    quiet_s = model.samples.quiet_s(case.now.timestamp())
    low = floor(quiet_s)
    if low >= MOST_QUIET_S:
        return []
    make = partial(changes.quiet, case.state, case.now, model.model_id)
    found = yield from case.smallest(make, low, MOST_QUIET_S, case.view.idle_s)
    if found is None:
        return []
    for_s, effect = found
    change = Change(
        subject=f"model/{model.model_id}",
        field="quiet_s",
        today=round(quiet_s, 3),
        needed=for_s,
        unit="s",
    )
    known = f"rather than {seconds(quiet_s)}"
    condition = f"nobody had asked {model.name} anything for {seconds(for_s)} {known}"
    return [case.tell("quiet", condition, change, effect)]


def _holders(case: Case, model: Model) -> Iterator[Model]:
    """Yield other models with a ready instance where it could be, as they would lose theirs."""
    now_s = case.now.timestamp()
    having = [
        each
        for each in case.state.models.values()
        if each is not model
        and each.counts["ready"]
        and any(
            case.state.nodes[case.state.instances[i].node_id].supports(model.name)
            for i in each.instances
        )
    ]
    having.sort(
        key=lambda each: (each.live <= each.floor, -each.samples.quiet_s(now_s), each.model_id)
    )
    yield from having


def rivals_busy(case: Case, model: Model) -> Told:
    """Try other models with longer queues: the smallest mean length that does it."""
    found = []
    rivals = (each for each in case.rivals(without=model.model_id) if each.live == 0)
    for rival in islice(rivals, FEW):
        found += yield from longer_queue(case, rival)
    return found
