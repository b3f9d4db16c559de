"""What the demo creates: an environment, its models with their queues, nodes, a strategy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.demo.client import Gateway
from deploy.demo.messages import RESULTS, queue_of
from deploy.local.platform import Node

ENVIRONMENT = "demo"
POLICY = "busy_queue_scaling"
TEMPLATE = "queue_worker"
MOST_INSTANCES = 3
# The platform's policy in trace seconds; `speed` divides them.
WINDOW_S, BUSY_S, IDLE_S, STALE_S, RETRY_S = 300.0, 30.0, 300.0, 180.0, 10.0
SAMPLE_S, PROBE_S, REFRESH_S, DECIDE_S = 60.0, 5.0, 30.0, 60.0
# No interval becomes shorter than the machine can keep.
LEAST_SAMPLE_S, LEAST_PROBE_S, LEAST_REFRESH_S, LEAST_DECIDE_S = 0.5, 0.25, 1.0, 0.25
LEAST_RETRY_S = 0.5


@dataclass(frozen=True)
class Broker:
    """Where the models' queues are, as workers and sampler are told."""

    host: str
    management_port: int
    amqp_port: int
    vhost: str
    username: str
    password: str


def settings(speed: float) -> dict[str, str]:
    """Return the services' settings with every interval of the policy in compressed time."""
    return {
        "QM_QUEUE_SAMPLE_INTERVAL": f"{max(LEAST_SAMPLE_S, SAMPLE_S / speed):.3f}",
        "QM_QUEUE_PROBE_INTERVAL": f"{max(LEAST_PROBE_S, PROBE_S / speed):.3f}",
        "NODE_STATUS_REFRESH_INTERVAL": f"{max(LEAST_REFRESH_S, REFRESH_S / speed):.3f}",
        "QM_SCHEDULER_INTERVAL": f"{max(LEAST_DECIDE_S, DECIDE_S / speed):.3f}",
    }


def strategy(speed: float) -> dict[str, Any]:
    """Return the strategy with its parameters in compressed time."""
    sample_s = max(LEAST_SAMPLE_S, SAMPLE_S / speed)
    return {
        "name": POLICY,
        "policy": POLICY,
        "description": f"The rule of the platform, {speed:g} times as fast",
        "parameters": {
            "window_s": max(2 * sample_s, WINDOW_S / speed),
            "busy_threshold_s": BUSY_S / speed,
            "idle_s": max(2 * sample_s, IDLE_S / speed),
            "stale_s": max(3 * sample_s, STALE_S / speed),
            "retry_base_s": max(LEAST_RETRY_S, RETRY_S / speed),
        },
        "active": True,
    }


def model(name: str, exec_s: float, speed: float, broker: Broker) -> dict[str, Any]:
    """Return a model with its queue; exec_s: its mean execution time in trace seconds."""
    return {
        "name": name,
        "description": f"{exec_s:.1f} s a request in the trace",
        "rabbitmq_host": broker.host,
        "rabbitmq_port": broker.management_port,
        "rabbitmq_amqp_port": broker.amqp_port,
        "rabbitmq_vhost": broker.vhost,
        "rabbitmq_queue_name": queue_of(name),
        "rabbitmq_username": broker.username,
        "rabbitmq_password": broker.password,
        "average_inference_time": exec_s / speed,
        "launch": {
            "template": TEMPLATE,
            "parameters": {"speed": speed, "result_queue": RESULTS},
        },
        "min_instances": 1,
        "max_instances": MOST_INSTANCES,
    }


async def create(
    gateway: Gateway,
    nodes: Sequence[Node],
    models: Mapping[str, float],
    speed: float,
    broker: Broker,
) -> None:
    """Create everything; models: mean execution time (s) by name. Repeating it changes nothing."""
    about = {"name": ENVIRONMENT, "description": "Real workers on virtual GPUs"}
    inside = {"environment_id": (await gateway.put("/environments", about))["id"]}
    await gateway.put("/scheduling-strategies", strategy(speed))
    for name, exec_s in models.items():
        await gateway.put("/models", model(name, exec_s, speed, broker) | inside)
    for node in nodes:
        body = {
            "name": node.name,
            "agent_url": node.url,
            "available_gpu_ids": list(range(node.gpus)),
        }
        await gateway.put("/nodes", body | inside)
