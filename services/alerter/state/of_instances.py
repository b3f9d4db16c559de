"""Fold instances, as long as they are on their way: to ready, or to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.envelope import Cause
from contracts.events import instance
from services.alerter.state.folded import State, fold
from services.alerter.state.values import Over, Since

if TYPE_CHECKING:
    from contracts.envelope import Recorded

RULE = "instance_stuck"


@fold.register(instance.InstanceStartRequested)
def _starting(event: instance.InstanceStartRequested, state: State, recorded: Recorded) -> None:
    state.starting[event.instance_id] = Since(event, recorded.recorded_at, Cause.of(recorded))


@fold.register(instance.InstanceStopRequested)
def _stopping(event: instance.InstanceStopRequested, state: State, recorded: Recorded) -> None:
    _arrived(event.instance_id, state, recorded)
    state.stopping[event.instance_id] = Since(event, recorded.recorded_at, Cause.of(recorded))


@fold.register(instance.InstanceStarted)
def _started(event: instance.InstanceStarted, state: State, recorded: Recorded) -> None:
    if event.instance_id not in state.stopping:  # told late: it is to end all the same
        _arrived(event.instance_id, state, recorded)


@fold.register(instance.InstanceStartFailed)
@fold.register(instance.InstanceStopped)
@fold.register(instance.InstanceDied)
def _ended(
    event: instance.InstanceStartFailed | instance.InstanceStopped | instance.InstanceDied,
    state: State,
    recorded: Recorded,
) -> None:
    _arrived(event.instance_id, state, recorded)


def _arrived(instance_id: str, state: State, recorded: Recorded) -> None:
    """Take it from its way; what ended an alert about it is kept until that is resolved."""
    state.starting.pop(instance_id, None)
    state.stopping.pop(instance_id, None)
    if (RULE, instance_id) in state.open:
        state.over[RULE, instance_id] = Over(recorded.recorded_at, Cause.of(recorded))
