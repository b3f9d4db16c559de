"""How events about models, queues and strategies change what the scheduler knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.envelope import Cause
from contracts.events import model as m
from contracts.events import queue as q
from contracts.events import strategy as s
from contracts.policies import BadParameters, validate_parameters
from services.scheduler.state.entities import Model, Strategy
from services.scheduler.state.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contracts.envelope import Recorded
    from contracts.types import QueueAddress, Scalar
    from services.scheduler.state.fleet import Fleet

NO_LONGER_WANTED = "no_longer_wanted"


def _on_model(fleet: Fleet, event: m.ModelRegistered | m.ModelUpdated, recorded: Recorded) -> None:
    known, cause = fleet.models.get(event.model_id), Cause.of(recorded)
    if known is None:
        fleet.models[event.model_id] = Model(
            model_id=event.model_id,
            name=event.name,
            queue=event.queue,
            launch=event.launch,
            average_inference_time_s=event.average_inference_time_s,
            min_instances=event.min_instances,
            max_instances=event.max_instances,
            on_lost_control=event.on_lost_control,
            defined_by=cause,
            short_by=cause,
        )
        return
    if _place_of(known.queue) != _place_of(event.queue):
        known.samples = Samples()
    known.defined_by = cause
    if known.failures or min(event.min_instances, event.max_instances) > known.floor:
        known.short_by = cause
    known.name, known.queue, known.launch = event.name, event.queue, event.launch
    known.average_inference_time_s = event.average_inference_time_s
    known.min_instances, known.max_instances = event.min_instances, event.max_instances
    known.on_lost_control = event.on_lost_control
    # Whatever made its starts fail may be mended now.
    known.failures, known.failures_at = None, {}


def _place_of(queue: QueueAddress) -> tuple[str, str, str]:
    return (queue.host, queue.vhost, queue.name)


def _on_model_deleted(fleet: Fleet, event: m.ModelDeleted, recorded: Recorded) -> None:
    model = fleet.models.pop(event.model_id, None)
    for instance_id in model.instances if model else ():
        if fleet.instances[instance_id].phase != "stopping":
            fleet.leave(instance_id, "model_deleted", Cause.of(recorded))


def _on_floor_unmet(fleet: Fleet, event: m.ModelFloorUnmet, recorded: Recorded) -> None:
    fleet.floor_versions[event.model_id] = recorded.version
    if (model := fleet.models.get(event.model_id)) is not None:
        model.floor_open = (event.reason.code, event.instances, event.floor)


def _on_floor_met(fleet: Fleet, event: m.ModelFloorMet, recorded: Recorded) -> None:
    fleet.floor_versions[event.model_id] = recorded.version
    if (model := fleet.models.get(event.model_id)) is not None:
        model.floor_open = None


def _on_deferred(fleet: Fleet, event: m.ModelDeferred, recorded: Recorded) -> None:
    fleet.floor_versions[event.model_id] = recorded.version
    if (model := fleet.models.get(event.model_id)) is not None:
        code = event.reason.code
        model.deferred = None if code == NO_LONGER_WANTED else code


def _on_sampled(fleet: Fleet, event: q.QueueSampled, recorded: Recorded) -> None:
    if (model := fleet.models.get(event.model_id)) is not None:
        cause = Cause.of(recorded)
        model.samples.add(fleet.at_s, event.length, event.published_total, cause)


def _on_unreachable(fleet: Fleet, event: q.QueueUnreachable, _: Recorded) -> None:
    if (model := fleet.models.get(event.model_id)) is not None:
        model.queue_problem = event.code
        model.samples.interrupt()


def _on_recovered(fleet: Fleet, event: q.QueueRecovered, _: Recorded) -> None:
    if (model := fleet.models.get(event.model_id)) is not None:
        model.queue_problem = None


def _problem(policy: str, parameters: Mapping[str, Scalar]) -> str | None:
    try:
        validate_parameters(policy, parameters)
    except BadParameters as error:
        return str(error)
    return None


def _on_strategy_created(fleet: Fleet, event: s.StrategyCreated, _: Recorded) -> None:
    fleet.strategy_ever_created = True
    fleet.strategies[event.strategy_id] = Strategy(
        event.strategy_id,
        event.name,
        event.policy,
        dict(event.parameters),
        event.order,
        event.active,
        _problem(event.policy, event.parameters),
    )


def _on_strategy_configured(fleet: Fleet, event: s.StrategyConfigured, _: Recorded) -> None:
    if (strategy := fleet.strategies.get(event.strategy_id)) is not None:
        strategy.parameters, strategy.order = dict(event.parameters), event.order
        strategy.problem = _problem(strategy.policy, event.parameters)


def _on_strategy_switched(
    fleet: Fleet, event: s.StrategyActivated | s.StrategyDeactivated, _: Recorded
) -> None:
    if (strategy := fleet.strategies.get(event.strategy_id)) is not None:
        strategy.active = isinstance(event, s.StrategyActivated)


def _on_strategy_deleted(fleet: Fleet, event: s.StrategyDeleted, _: Recorded) -> None:
    fleet.strategies.pop(event.strategy_id, None)


DEMAND: dict[str, Callable[[Fleet, Any, Recorded], None]] = {
    m.ModelRegistered.type: _on_model,
    m.ModelUpdated.type: _on_model,
    m.ModelDeleted.type: _on_model_deleted,
    m.ModelFloorUnmet.type: _on_floor_unmet,
    m.ModelFloorMet.type: _on_floor_met,
    m.ModelDeferred.type: _on_deferred,
    q.QueueSampled.type: _on_sampled,
    q.QueueUnreachable.type: _on_unreachable,
    q.QueueRecovered.type: _on_recovered,
    s.StrategyCreated.type: _on_strategy_created,
    s.StrategyConfigured.type: _on_strategy_configured,
    s.StrategyActivated.type: _on_strategy_switched,
    s.StrategyDeactivated.type: _on_strategy_switched,
    s.StrategyDeleted.type: _on_strategy_deleted,
}
