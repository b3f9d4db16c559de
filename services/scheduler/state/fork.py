"""A second state to change and decide on, while the first one stays as it is."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from services.scheduler.state.memory import Memory
from services.scheduler.state.pools import Pool, Pools

if TYPE_CHECKING:
    from services.scheduler.state import State
    from services.scheduler.state.entities import Model, Node

T = TypeVar("T")


def fork(state: State) -> State:
    """Return a copy in which anything may change; samples are shared, replace them whole."""
    return replace(
        state,
        models={key: _model(each) for key, each in state.models.items()},
        nodes={key: _node(each) for key, each in state.nodes.items()},
        gpus={key: _like(each) for key, each in state.gpus.items()},
        instances={key: _like(each) for key, each in state.instances.items()},
        ended=dict(state.ended),
        leaving=dict(state.leaving),
        suspects=dict(state.suspects),
        asks=dict(state.asks),
        stop_asks=dict(state.stop_asks),
        strategies={key: _like(each) for key, each in state.strategies.items()},
        floor_versions=dict(state.floor_versions),
        pools=_pools(state.pools),
        memory=Memory(),
    )


def fork_demand(state: State, model_id: str | None = None) -> State:
    """Return a copy in which only one model and the strategies may change."""
    models = state.models
    if model_id is not None:
        models = {**models, model_id: _model(models[model_id])}
    strategies = {key: _like(each) for key, each in state.strategies.items()}
    return replace(state, models=models, strategies=strategies, memory=Memory())


def still(state: State) -> State:
    """Return a copy that stays what it is while `state` goes on; without its memory."""
    copied = fork(state)
    for model in copied.models.values():
        samples = model.samples = _like(model.samples)
        samples.at_s, samples.totals = list(samples.at_s), list(samples.totals)
    return copied


def _like(each: T) -> T:
    """Return a shallow copy of an object with slots."""
    cls: Any = type(each)
    copied = object.__new__(cls)
    for name in _SLOTS.get(cls) or _slots(cls):
        setattr(copied, name, getattr(each, name))
    return copied  # type: ignore[no-any-return]


_SLOTS: dict[type, tuple[str, ...]] = {}


def _slots(cls: Any) -> tuple[str, ...]:
    _SLOTS[cls] = tuple(each.name for each in fields(cls))
    return _SLOTS[cls]


def _model(model: Model) -> Model:
    copied = _like(model)
    copied.instances, copied.counts = dict(model.instances), dict(model.counts)
    copied.failures_at = dict(model.failures_at)
    return copied


def _node(node: Node) -> Node:
    copied = _like(node)
    copied.gpus, copied.instances = dict(node.gpus), dict(node.instances)
    copied.free = list(node.free)
    return copied


def _pools(pools: Pools) -> Pools:
    return Pools(
        by_support={
            key: Pool(each.supported, list(each.ranked), dict(each.causes))
            for key, each in pools.by_support.items()
        },
        by_name={name: dict(each) for name, each in pools.by_name.items()},
        open_by_name={name: dict(each) for name, each in pools.open_by_name.items()},
    )
