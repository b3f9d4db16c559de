"""Payloads of a small fleet with sane defaults, each with the stream it belongs to."""

from __future__ import annotations

from typing import Any

from contracts.envelope import Event
from contracts.events.alert import AlertRaised
from contracts.events.environment import EnvironmentCreated
from contracts.events.gpu import GpuAllocated, GpuFreed, GpuQuarantined, GpuReleased
from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStartRequested,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.model import ModelDeferred, ModelFloorMet, ModelFloorUnmet, ModelRegistered
from contracts.events.node import (
    NodeCameOnline,
    NodeInventoryChanged,
    NodeRegistered,
    NodeReported,
    NodeWentOffline,
)
from contracts.events.queue import QueueRecovered, QueueSampled, QueueUnreachable
from contracts.types import Gpu, GpuUse, Launch, QueueAddress, Reason, SecretRef

Said = tuple[str, Event]
REASON = Reason(code="queue_is_busy", numbers={"wait_s": 40.0, "threshold_s": 30})


def an_environment(environment: str = "prod", **changes: Any) -> Said:
    fields = {"environment_id": environment, "name": environment.title()} | changes
    return f"environment/{environment}", EnvironmentCreated(**fields)


def a_model(model: str = "llama", kind: type[Event] = ModelRegistered, **changes: Any) -> Said:
    queue = QueueAddress(
        host="rabbit.test",
        name=f"q-{model}",
        username="sampler",
        password=SecretRef(secret_id="s-1", version=1),
    )
    fields = {
        "model_id": model,
        "environment_id": "prod",
        "name": model.title(),
        "queue": queue,
        "average_inference_time_s": 2.0,
        "launch": Launch(template="vllm", parameters={"tp": 1}),
    } | changes
    return f"model/{model}", kind(**fields)


def a_node(node: str = "n1", kind: type[Event] = NodeRegistered, **changes: Any) -> Said:
    fields = {
        "node_id": node,
        "environment_id": "prod",
        "name": node.upper(),
        "agent_url": f"https://{node}.test:8090",
        "available_gpu_ids": (0, 1),
    } | changes
    return f"node/{node}", kind(**fields)


def inventory(node: str = "n1", gpus: int = 2, **changes: Any) -> Said:
    fields = {
        "node_id": node,
        "boot_id": "b1",
        "gpus": [
            Gpu(uuid=gpu_of(node, index), index=index, name="H100", memory_mb=81_559)
            for index in range(gpus)
        ],
        "supported_models": ("Llama",),
    } | changes
    return f"node/{node}", NodeInventoryChanged(**fields)


def came_online(node: str = "n1") -> Said:
    return f"node/{node}", NodeCameOnline(node_id=node, boot_id="b1")


def went_offline(node: str = "n1") -> Said:
    event = NodeWentOffline(node_id=node, silent_s=31.0, error="timed out")
    return f"node/{node}", event


def reported(node: str = "n1", gpus: int = 2, percent: float = 50.0) -> Said:
    uses = [
        GpuUse(
            uuid=gpu_of(node, index), index=index, memory_used_mb=1000, utilization_percent=percent
        )
        for index in range(gpus)
    ]
    return f"node-reports/{node}", NodeReported(node_id=node, boot_id="b1", gpus=uses)


def gpu_of(node: str, index: int = 0) -> str:
    return f"GPU-{node}-{index}"


def allocated(gpu: str, instance: str, *, node: str = "n1", model: str = "llama") -> Said:
    event = GpuAllocated(gpu_uuid=gpu, node_id=node, instance_id=instance, model_id=model)
    return f"gpu/{gpu}", event


def freed(gpu: str, instance: str, *, node: str = "n1") -> Said:
    event = GpuFreed(gpu_uuid=gpu, node_id=node, instance_id=instance, because="stopped")
    return f"gpu/{gpu}", event


def quarantined(gpu: str, *, node: str = "n1") -> Said:
    return f"gpu/{gpu}", GpuQuarantined(gpu_uuid=gpu, node_id=node, because="foreign process")


def released(gpu: str, *, node: str = "n1") -> Said:
    return f"gpu/{gpu}", GpuReleased(gpu_uuid=gpu, node_id=node, because="it is gone")


def start_requested(
    instance: str, *, model: str = "llama", node: str = "n1", gpu: str = "", **changes: Any
) -> Said:
    fields = {
        "instance_id": instance,
        "model_id": model,
        "model_name": model.title(),
        "node_id": node,
        "gpu_uuid": gpu or gpu_of(node),
        "gpu_index": 0,
        "boot_id": "b1",
        "launch": Launch(template="vllm"),
        "epoch": 3,
        "reason": REASON,
    } | changes
    return f"instance/{instance}", InstanceStartRequested(**fields)


def of_instance(
    kind: type[Event], instance: str, *, model: str = "llama", node: str = "n1", **changes: Any
) -> Said:
    extra: dict[type[Event], dict[str, Any]] = {
        InstanceStarted: {"pid": 4711, "load_s": 12.5},
        InstanceStartFailed: {"code": "no_memory", "error": "out of memory"},
        InstanceStopRequested: {"reason": REASON},
        InstanceStopped: {"exit_code": 0},
        InstanceDied: {"because": "exited", "exit_code": 137},
    }
    place = {
        "instance_id": instance,
        "model_id": model,
        "node_id": node,
        "gpu_uuid": gpu_of(node),
    }
    return f"instance/{instance}", kind(**(place | extra.get(kind, {}) | changes))


def sampled(model: str = "llama", length: int = 10, unacknowledged: int = 0) -> Said:
    event = QueueSampled(
        model_id=model,
        length=length,
        ready=length - unacknowledged,
        unacknowledged=unacknowledged,
    )
    return f"queue-samples/{model}", event


def unreachable(model: str = "llama") -> Said:
    event = QueueUnreachable(model_id=model, code="unauthorized", detail="401")
    return f"queue/{model}", event


def recovered(model: str = "llama") -> Said:
    return f"queue/{model}", QueueRecovered(model_id=model)


def floor_unmet(model: str = "llama") -> Said:
    event = ModelFloorUnmet(model_id=model, instances=0, floor=1, reason=REASON)
    return f"model-floor/{model}", event


def floor_met(model: str = "llama") -> Said:
    return f"model-floor/{model}", ModelFloorMet(model_id=model, instances=1, floor=1)


def deferred(model: str = "llama") -> Said:
    return f"model-floor/{model}", ModelDeferred(model_id=model, reason=REASON)


def raised(alert: str = "node_offline:n1") -> Said:
    event = AlertRaised(
        alert_id=alert,
        rule="node_offline",
        subject="n1",
        severity="critical",
        summary="n1 is silent",
    )
    return f"alert/{alert}", event
