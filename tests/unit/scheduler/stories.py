"""How the scheduler's stories begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.scheduler.decide import decide
from services.scheduler.state import State
from tests import builders as b
from tests.spec import Spec

if TYPE_CHECKING:
    from contracts.envelope import Event

SAMPLING_S = 60.0


def story(*events: Event | list[Event]) -> Spec[State]:
    """A scheduler of epoch 1 that was told these events."""
    return Spec(State(), decide, epoch=1).given(*events)


def sample(spec: Spec[State], lengths: dict[str, int], *, minutes: int = 6) -> Spec[State]:
    """Let minutes pass; every minute each queue is sampled with its length."""
    for _ in range(minutes):
        spec.after(SAMPLING_S)
        spec.given(*(b.sampled(model_id, length) for model_id, length in lengths.items()))
    return spec
