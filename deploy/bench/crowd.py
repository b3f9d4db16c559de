"""A large fleet as it reports itself: nodes of 8 GPUs, models with queues that swell and ebb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import pi, sin

from contracts.envelope import Draft, Event
from contracts.events.instance import (
    InstanceStarted,
    InstanceStartRequested,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.model import ModelRegistered
from contracts.events.node import (
    NodeCameOnline,
    NodeInventoryChanged,
    NodeRegistered,
    NodeReported,
)
from contracts.events.queue import QueueSampled
from contracts.events.strategy import StrategyCreated
from contracts.types import GpuUse, InstanceReport, Launch, QueueAddress

GPUS = 8
PERIOD_MIN, HIGHEST = 10.0, 120  # a queue's ebb and flow (minutes), and its most messages
Wish = InstanceStartRequested | InstanceStopRequested


@dataclass(frozen=True)
class Crowd:
    """A fleet by its size; kinds: how many models each node supports, 0 for all of them."""

    nodes: int
    models: int
    kinds: int = 0

    def models_registered(self) -> Iterator[Draft]:
        """Yield the registration of every model: a floor of one, and twice its share at most."""
        most = 2 * max(1, self.nodes * GPUS // self.models)
        for number in range(self.models):
            name = _model(number)
            event = ModelRegistered(
                model_id=name,
                environment_id="bench",
                name=name,
                queue=QueueAddress(host="broker", name=name, username="worker"),
                average_inference_time_s=2.0,
                launch=Launch(template="vllm", parameters={"model_path": f"/models/{name}"}),
                min_instances=1,
                max_instances=most,
            )
            yield Draft(f"model/{name}", event)

    def nodes_registered(self) -> Iterator[Draft]:
        """Yield the registration of every node."""
        for number in range(self.nodes):
            node_id = _node(number)
            event = NodeRegistered(
                node_id=node_id,
                environment_id="bench",
                name=node_id,
                agent_url=f"https://{node_id}:9000",
                available_gpu_ids=tuple(range(GPUS)),
            )
            yield Draft(f"node/{node_id}", event)

    def nodes_seen(self) -> Iterator[Draft]:
        """Yield what the monitor says of every node at its first answer."""
        for number in range(self.nodes):
            node_id = _node(number)
            supported = tuple(
                _model((number * self.kinds + each) % self.models) for each in range(self.kinds)
            )
            inventory = NodeInventoryChanged(
                node_id=node_id,
                boot_id=_boot(node_id),
                gpus=_gpus(number),
                supported_models=supported or ("*",),
            )
            yield Draft(f"node/{node_id}", NodeCameOnline(node_id=node_id, boot_id=_boot(node_id)))
            yield Draft(f"node/{node_id}", inventory)

    def reports(self, running: Mapping[str, Mapping[str, InstanceReport]]) -> Iterator[Draft]:
        """Yield a report of every node, with what runs there."""
        for number in range(self.nodes):
            node_id = _node(number)
            report = NodeReported.model_construct(
                node_id=node_id,
                boot_id=_boot(node_id),
                gpus=_gpus(number),
                instances=tuple(running.get(node_id, {}).values()),
                answer_ms=12.5,
            )
            yield Draft(f"node-reports/{node_id}", report)

    def samples(self, minute: float, height: int = HIGHEST) -> Iterator[Draft]:
        """Yield a sample of every queue; at any moment half of them are empty."""
        for number in range(self.models):
            wave = sin(2 * pi * (minute / PERIOD_MIN + number / self.models))
            yield sampled(number, max(0, round(height * wave)))


def sampled(number: int, length: int) -> Draft:
    """Return a sample of a model's queue."""
    model = _model(number)
    event = QueueSampled(model_id=model, length=length, ready=length, unacknowledged=0)
    return Draft(f"queue-samples/{model}", event)


def strategy(speed: float) -> Draft:
    """Return the platform's strategy, so many times as fast."""
    event = StrategyCreated(
        strategy_id="bench",
        name="bench",
        policy="busy_queue_scaling",
        parameters={
            "window_s": 300 / speed,
            "idle_s": 300 / speed,
            "stale_s": 180 / speed,
            "retry_base_s": 10 / speed,
        },
        active=True,
    )
    return Draft("strategy/bench", event)


def came_true(wish: Wish) -> Draft:
    """Return what a deployer says once a start or a stop was carried out."""
    place = {
        "instance_id": wish.instance_id,
        "model_id": wish.model_id,
        "node_id": wish.node_id,
        "gpu_uuid": wish.gpu_uuid,
    }
    event: Event
    if isinstance(wish, InstanceStartRequested):
        event = InstanceStarted.model_validate(place | {"pid": 4711, "load_s": 20.0})
    else:
        event = InstanceStopped.model_validate(place | {"exit_code": 0})
    return Draft(f"instance/{wish.instance_id}", event)


def report_of(wish: InstanceStartRequested) -> InstanceReport:
    """Return a running instance as its agent shows it."""
    return InstanceReport(
        instance_id=wish.instance_id,
        model_name=wish.model_name,
        gpu_uuid=wish.gpu_uuid,
        pid=4711,
        state="ready",
        endpoint=f"http://{wish.node_id}:8001",
    )


def _model(number: int) -> str:
    return f"m{number:05}"


def _node(number: int) -> str:
    return f"n{number:05}"


def _boot(node_id: str) -> str:
    return f"boot-{node_id}"


@cache
def _gpus(number: int) -> tuple[GpuUse, ...]:
    return tuple(
        GpuUse(
            uuid=f"GPU-5f3c1a2b-8d4e-4c6f-{number:05d}-{index:07d}",
            index=index,
            name="NVIDIA H100 80GB HBM3",
            memory_mb=81_559,
            memory_used_mb=(number * 7919 + index * 104_729) % 81_559,
            utilization_percent=float((number * 31 + index * 17) % 100),
        )
        for index in range(GPUS)
    )
