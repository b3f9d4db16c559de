"""Read models in the field names people use: an `id`, and a model's queue as it was registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_QUEUE = {
    "rabbitmq_host": "host",
    "rabbitmq_port": "port",
    "rabbitmq_amqp_port": "amqp_port",
    "rabbitmq_vhost": "vhost",
    "rabbitmq_queue_name": "name",
    "rabbitmq_username": "username",
}


def with_id(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the shape that repeats the field `name` as `id`."""
    return lambda row: {"id": row.get(name), **row}


def model(row: dict[str, Any]) -> dict[str, Any]:
    """Return a model as people register it."""
    rest = {name: each for name, each in row.items() if name not in _LEFT_OUT}
    queue = row.get("queue") or {}
    return {
        "id": row.get("model_id"),
        **rest,
        **{name: queue.get(inner) for name, inner in _QUEUE.items()},
        "has_rabbitmq_password": bool(queue.get("has_password")),
        "average_inference_time": row.get("average_inference_time_s"),
    }


def node_models(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a node can serve, and what its agent last said it serves."""
    return {
        "node_id": row.get("node_id"),
        "supported_models": row.get("supported_models", []),
        "instances": row.get("reported_instances", []),
    }


def node_gpus(row: dict[str, Any]) -> dict[str, Any]:
    """Return a node's GPUs and those we may use."""
    return {
        "node_id": row.get("node_id"),
        "available_gpu_ids": row.get("available_gpu_ids", []),
        "gpus": row.get("gpus", []),
    }


environment = with_id("environment_id")
node = with_id("node_id")
strategy = with_id("strategy_id")
webhook = with_id("webhook_id")
IDENTIFIED = frozenset((environment, node, strategy, webhook))
_LEFT_OUT = {"queue", "average_inference_time_s"}
