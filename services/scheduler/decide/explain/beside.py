"""What else stands for or against a model at this moment: its queue, failures, nodes and GPUs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from services.scheduler.decide.explain.words import are, listed, plural, said, seconds
from services.scheduler.state.fleet import FREE, HELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.http.explain import ReasonTold
    from contracts.types import Reason
    from services.scheduler.decide.explain.view import View
    from services.scheduler.state.entities import Model

GETS_ONE = frozenset({"about_to_start", "starting", "replaced"})
MOST_NAMED = 8


def beside(view: View, model: Model, dominant: Reason) -> Iterator[ReasonTold]:
    """Yield what else stands against it now: its queue, its failures, its nodes, its GPUs."""
    now_s = view.now.timestamp()
    if model.queue_problem is not None:
        problem = model.queue_problem
        text = f"Its queue cannot be read ({said(problem)}): nobody knows how much waits."
        yield view.now_told(text, "queue_unreachable", {"problem": problem})
    told = dominant.code in ("backing_off", "start_failing")
    if model.failures is not None and not told and not view.state.has_served_since_failing(model):
        count, ago = model.failures.count, now_s - model.failures.last_s
        which = "attempt" if count == 1 else f"{count} attempts"
        text = f"Its last {which} failed ({said(model.last_error)}), {seconds(ago)} ago."
        yield view.now_told(
            text, "start_failed", {"failures": count, "ago_s": ago, "error": model.last_error}
        )
    if unreachable := model.counts["unreachable"]:
        has = f"{plural(unreachable, 'instance')} of it {'is' if unreachable == 1 else 'are'}"
        text = f"{has} out of reach and not counted, though what runs there may still be serving."
        yield view.now_told(text, "instance_unreachable", {"instances": unreachable})
    if dominant.code in GETS_ONE:
        return
    for cause, count in dominant.rejected.items():
        yield _gpus(view, model, cause, count)


def _gpus(view: View, model: Model, cause: str, count: int) -> ReasonTold:
    """Return what GPUs that could serve it are, and by whom they are held or where they are."""
    whose = _whose(view, model, cause)
    most = whose.most_common(MOST_NAMED)
    names = [f"{n} {'by' if cause == HELD else 'of'} {name}" for name, n in most]
    if rest := whose.total() - sum(n for _, n in most):
        names.append(f"{rest} {'by' if cause == HELD else 'of'} others")
    text = f"{plural(count, 'GPU')} that could serve it {are(count, cause)}: {listed(names)}."
    return view.now_told(text, f"gpu_{cause}", {**dict(most), "gpus": count})


def _whose(view: View, model: Model, cause: str) -> Counter[str]:
    """Count the GPUs of a cause that could serve a model: by who holds them, or by node."""
    state, counted = view.state, Counter[str]()
    wanted = FREE if cause == "taken_before" else cause
    for gpu in state.gpus.values():
        if gpu.present and gpu.cause == wanted and state.nodes[gpu.node_id].supports(model.name):
            holder = state.instances.get(gpu.held_by or "") if cause == HELD else None
            node = view.names.node(gpu.node_id)
            counted[view.names.model(holder.model_id) if holder else node] += 1
    return counted
