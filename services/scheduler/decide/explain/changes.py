"""The fleet with exactly one thing different; the state it is made from stays as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from contracts.envelope import Recorded
from contracts.events import gpu as g
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import strategy as s
from contracts.types import Gpu as GpuSeen
from contracts.types import GpuUse
from services.scheduler.state.fork import fork, fork_demand
from services.scheduler.state.samples import KEEP_S, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from contracts.envelope import Event
    from services.scheduler.state import State
    from services.scheduler.state.entities import Gpu, Model, Node

SAMPLED_EVERY_S = 60.0
SLACK_S = 0.001  # subtracting moments loses less than that
EXTRA = "what-if"


def told(state: State, now: datetime, *events: Event) -> State:
    """Return a forked state after these events, as if they were recorded now."""
    for event in events:
        state.apply(
            Recorded(
                position=state.position,
                event_id=EXTRA,
                stream=EXTRA,
                version=1,
                type=event.type,
                schema_version=event.schema_version,
                data=event.model_dump(mode="json"),
                recorded_at=now,
            )
        )
    return state


# Queues.


def queue_of(state: State, now: datetime, model_id: str, length: int) -> State:
    """Return the fleet with a queue that held `length` whenever it was sampled."""
    changed = fork_demand(state, model_id)
    at_s = changed.models[model_id].samples.at_s
    recent = [each for each in at_s if each > now.timestamp() - KEEP_S]
    _sample(changed.models[model_id], recent or [now.timestamp()], length)
    return changed


def quiet(state: State, now: datetime, model_id: str, for_s: int) -> State:
    """Return the fleet with a queue that was first sampled `for_s` ago, and held nothing since."""
    changed = fork_demand(state, model_id)
    now_s = now.timestamp()
    first_s = now_s - for_s - SLACK_S
    count = int(for_s / SAMPLED_EVERY_S) + 1
    moments = [first_s + SAMPLED_EVERY_S * k for k in range(count)]
    _sample(changed.models[model_id], [*moments, now_s], 0)
    return changed


def _sample(model: Model, moments: Iterable[float], length: int) -> None:
    model.samples = Samples()
    for at_s in moments:
        model.samples.add(at_s, length, None)


# Models and strategies.


def bounds_of(
    state: State,
    now: datetime,
    model_id: str,
    min_instances: int | None = None,
    max_instances: int | None = None,
) -> State:
    """Return the fleet with a model that must, or may, have so many instances."""
    changed = fork_demand(state, model_id)
    model = changed.models[model_id]
    updated = m.ModelUpdated(
        model_id=model_id,
        environment_id=EXTRA,
        name=model.name,
        queue=model.queue,
        launch=model.launch,
        average_inference_time_s=model.average_inference_time_s,
        min_instances=model.min_instances if min_instances is None else min_instances,
        max_instances=model.max_instances if max_instances is None else max_instances,
        on_lost_control=model.on_lost_control,
    )
    return told(changed, now, updated)


def strategy_active(state: State, now: datetime, strategy_id: str) -> State:
    """Return the fleet with a strategy that decides."""
    return told(fork_demand(state), now, s.StrategyActivated(strategy_id=strategy_id))


# Nodes and GPUs.


def more_gpus(state: State, now: datetime, supported: tuple[str, ...], count: int) -> State:
    """Return the fleet with so many more free GPUs, on a node that supports these models."""
    gpus = tuple(GpuSeen(uuid=f"{EXTRA}-{index}", index=index) for index in range(count))
    here = {"node_id": EXTRA, "boot_id": EXTRA}
    return told(
        fork(state),
        now,
        n.NodeRegistered(
            node_id=EXTRA,
            environment_id=EXTRA,
            name=EXTRA,
            agent_url=EXTRA,
            available_gpu_ids=tuple(range(count)),
        ),
        n.NodeCameOnline.model_validate(here),
        n.NodeInventoryChanged.model_validate(
            {**here, "gpus": gpus, "supported_models": supported}
        ),
        _clean(here["node_id"], EXTRA, [(each.uuid, each.index) for each in gpus]),
    )


def node_online(state: State, now: datetime, node_id: str) -> State:
    """Return the fleet with a node that answers again, with nothing foreign on it."""
    boot_id = state.nodes[node_id].boot_id or EXTRA
    came = n.NodeCameOnline(node_id=node_id, boot_id=boot_id)
    return told(fork(state), now, came, _clean(node_id, boot_id, _gpus_of(state, node_id)))


def node_supports(state: State, now: datetime, node: Node, name: str) -> State:
    """Return the fleet with a node that can also serve models of this name."""
    gpus = tuple(GpuSeen(uuid=uuid, index=index) for uuid, index in _gpus_of(state, node.node_id))
    inventory = n.NodeInventoryChanged(
        node_id=node.node_id,
        boot_id=node.boot_id or EXTRA,
        gpus=gpus,
        supported_models=(*node.supported, name),
    )
    return told(fork(state), now, inventory)


def gpu_offered(state: State, now: datetime, gpu: Gpu) -> State:
    """Return the fleet with a GPU that its node's settings offer too."""
    node = state.nodes[gpu.node_id]
    updated = n.NodeUpdated(
        node_id=node.node_id,
        environment_id=EXTRA,
        name=node.name or EXTRA,
        agent_url=EXTRA,
        available_gpu_ids=(*node.offered, gpu.index),
    )
    return told(fork(state), now, updated)


def gpu_clean(state: State, now: datetime, gpu: Gpu) -> State:
    """Return the fleet with a GPU whose node reports nothing foreign on it, quarantine over."""
    changed = fork(state)
    boot_id = state.nodes[gpu.node_id].boot_id or EXTRA
    told(changed, now, _clean(gpu.node_id, boot_id, [(gpu.uuid, gpu.index)]))
    if gpu.quarantined:
        released = g.GpuReleased(gpu_uuid=gpu.uuid, node_id=gpu.node_id, because=EXTRA)
        told(changed, now, released)
        changed.gpus[gpu.uuid].version = gpu.version
    return changed


def silence_over(state: State, now: datetime) -> State:
    """Return the fleet with our own network no longer suspected."""
    return told(fork(state), now, n.FleetSilenceCleared(silent=0, nodes=len(state.nodes)))


def _gpus_of(state: State, node_id: str) -> list[tuple[str, int]]:
    return [(uuid, state.gpus[uuid].index) for uuid in state.nodes[node_id].gpus]


def _clean(node_id: str, boot_id: str, gpus: Iterable[tuple[str, int]]) -> n.NodeReported:
    uses = tuple(GpuUse(uuid=uuid, index=index) for uuid, index in gpus)
    return n.NodeReported(node_id=node_id, boot_id=boot_id, gpus=uses)


def later(now: datetime, seconds: float) -> datetime:
    """Return a moment so much later."""
    return now + timedelta(seconds=seconds)
