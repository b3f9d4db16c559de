"""Nodes, instances and answers with sane defaults, for the monitor's tests."""

from datetime import UTC, datetime, timedelta

from contracts.envelope import Recorded
from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartRequested,
    InstanceStopRequested,
)
from contracts.events.node import (
    NodeCameOnline,
    NodeInventoryChanged,
    NodeRegistered,
    NodeWentOffline,
)
from contracts.http.agent import NodeStatus
from contracts.types import Gpu, GpuUse, InstanceReport, Launch, Reason
from services.node_monitor.state import State

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def recorded(position, event, stream="a/b"):
    return Recorded(
        position=position,
        event_id=f"e-{position}",
        stream=stream,
        version=1,
        type=event.type,
        schema_version=event.schema_version,
        data=event.model_dump(mode="json"),
        recorded_at=NOON + timedelta(seconds=position),
    )


def given(*events):
    """Return the state these events lead to, at positions from 1."""
    state = State()
    for position, event in enumerate(events, start=1):
        state.apply(recorded(position, event))
    return state


def registered(node_id="n1", agent_url="http://127.0.0.1:1"):
    return NodeRegistered(node_id=node_id, environment_id="e", name=node_id, agent_url=agent_url)


def online(node_id="n1"):
    return NodeCameOnline(node_id=node_id, boot_id="boot-1")


def offline(node_id="n1"):
    return NodeWentOffline(node_id=node_id, silent_s=10.0, error="gone")


def inventory(node_id="n1", boot_id="boot-1", gpus=1):
    return NodeInventoryChanged(
        node_id=node_id,
        boot_id=boot_id,
        gpus=tuple(Gpu(uuid=f"GPU-{n}", index=n) for n in range(gpus)),
        supported_models=("*",),
    )


def requested(instance_id="i1", node_id="n1", boot_id="boot-1"):
    return InstanceStartRequested(
        instance_id=instance_id,
        model_id="m",
        model_name="llama",
        node_id=node_id,
        gpu_uuid="GPU-0",
        gpu_index=0,
        boot_id=boot_id,
        launch=Launch(template="echo"),
        reason=Reason(code="busy"),
    )


def started(instance_id="i1", node_id="n1", pid=42):
    return InstanceStarted(
        instance_id=instance_id, model_id="m", node_id=node_id, gpu_uuid="GPU-0", pid=pid
    )


def stop_requested(instance_id="i1", node_id="n1"):
    return InstanceStopRequested(
        instance_id=instance_id,
        model_id="m",
        node_id=node_id,
        gpu_uuid="GPU-0",
        reason=Reason(code="idle"),
    )


def died(instance_id="i1", node_id="n1", because="exited", **fields):
    return InstanceDied(
        instance_id=instance_id,
        model_id="m",
        node_id=node_id,
        gpu_uuid="GPU-0",
        because=because,
        **fields,
    )


def a_report(instance_id="i1", state="ready", **fields):
    return InstanceReport(
        instance_id=instance_id,
        model_name="llama",
        gpu_uuid="GPU-0",
        pid=42,
        state=state,
        **fields,
    )


def an_answer(*reports, boot_id="boot-1", foreign_pids=(), gpus=1, **fields):
    use = tuple(
        GpuUse(uuid=f"GPU-{n}", index=n, foreign_pids=foreign_pids if n == 0 else ())
        for n in range(gpus)
    )
    body = {"supported_models": ("*",), "gpus": use, "instances": reports, "change": 1}
    return NodeStatus(**{"node_id": "n1", "boot_id": boot_id, **body, **fields})
