"""Makes one realistic payload for an event that has no sample yet; once written it is kept."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from contracts.envelope import Event

# What a field of this name holds in every sample, so that samples tell one story.
VALUES: dict[str, Any] = {
    "account_id": "acc-ada",
    "actor": "ada",
    "agent_url": "https://gpu-01.example:9400",
    "agent_version": "0.1.0",
    "alert_id": "node_offline:node-01:4711",
    "amqp_port": 5672,
    "answer_ms": 12.5,
    "ask_id": "ask-01",
    "attempt": 1,
    "available_gpu_ids": [0, 1],
    "average_inference_time_s": 2.5,
    "because": "the worker's death could not be confirmed",
    "boot_id": "6f1c3c1e-2f0b-4f7e-9a52-0c8f6a3b9d10",
    "capabilities": {"zone": "a", "gpu_memory_mb": 81920},
    "config": {"max_batch": 8},
    "consumers": 1,
    "created_by": "acc-ada",
    "description": "Serves chat for the support desk",
    "detail": "the broker refuses the user or password",
    "endpoint": "http://10.0.0.7:8001",
    "environment_id": "env-production",
    "epoch": 3,
    "error": "no answer in 5 s",
    "event_id": "01932d5e-7b1c-7c3a-9f00-2b6a4d1e8c55",
    "error_code": "out_of_memory",
    "evidence": {"silent_s": 12.0},
    "exit_code": 0,
    "expires_at": "2027-11-21T12:00:00Z",
    "foreign_pids": [4242],
    "gpu_index": 0,
    "gpu_uuid": "GPU-5f3c1a2b-8d4e-4c6f-9a7b-1e2d3c4b5a69",
    "host": "rabbit.example",
    "holder": "scheduler-01932d5e7b1c7c3a9f00",
    "index": 0,
    "instance_id": "i-3-4711-0",
    "instances": 0,
    "floor": 1,
    "key_id": "key-nightly",
    "kind": "model",
    "last_seen_at": "2026-11-21T12:00:00Z",
    "length": 23,
    "load_s": 41.0,
    "log_tail": "CUDA error: out of memory",
    "max_instances": 4,
    "member_id": "model-llama",
    "memory_mb": 81920,
    "memory_used_mb": 40960,
    "message_id": "01932d5e-7b1c-7c3a-9f00-2b6a4d1e8c55",
    "min_instances": 1,
    "model_id": "model-llama",
    "model_name": "llama",
    "node_id": "node-01",
    "now": "2026-11-21T12:00:00Z",
    "nodes": 8,
    "numbers": {"wait_s": 57.5, "threshold_s": 30.0},
    "order": 1,
    "owner": "model-llama",
    "parameters": {"window_s": 300},
    "pid": 31337,
    "policy": "busy_queue_scaling",
    "port": 15672,
    "position": 4711,
    "published_total": 1024,
    "purpose": "the queue of model-llama",
    "ready": 20,
    "replaced_by": "model-whisper",
    "replaces": "i-3-4690-0",
    "rejected": {"unsupported": 3},
    "rule": "node_offline",
    "secret_id": "secret-01",
    "service": "scheduler",
    "silent": 5,
    "silent_s": 12.0,
    "status_code": 200,
    "strategy": "busy first",
    "strategy_id": "strategy-01",
    "subject": "node-01",
    "summary": "node gpu-01 has not answered for 12 s",
    "supported_models": ["llama", "whisper"],
    "template": "vllm",
    "unacknowledged": 3,
    "at": "2026-11-21T12:00:00Z",
    "until": "2026-11-21T14:00:00Z",
    "url": "https://hooks.example/quartermaster",
    "username": "sampler",
    "utilization_percent": 87.5,
    "uuid": "GPU-5f3c1a2b-8d4e-4c6f-9a7b-1e2d3c4b5a69",
    "version": 1,
    "vhost": "/",
    "webhook_id": "webhook-01",
    "why": "the payload was written by a release that was taken back",
    "window_s": 30.0,
}
NAMES = {
    "account": "ada",
    "key": "nightly",
    "environment": "production",
    "model": "llama",
    "node": "gpu-01",
    "strategy": "busy first",
    "lease": "scheduler",
    "name": "llama",
    "Gpu": "NVIDIA H100 80GB HBM3",
    "GpuUse": "NVIDIA H100 80GB HBM3",
    "QueueAddress": "inference.llama",
}
# What is different in one class only.
PARTICULAR: dict[str, dict[str, Any]] = {
    "Launch": {"parameters": {"model_path": "/models/llama", "max_model_len": 8192}},
    "AlertDeliveryFailed": {"status_code": 503, "gives_up": False, "error": "status 503"},
    "InstanceStartFailed": {"error": "the worker ended with 1 before it was ready"},
    "KeyCreated": {"role": "operator", "permissions": ["read"]},
    "AlertRuleConfigured": {"rule": "queue_growth", "limits": {"factor": 3.0}},
    "SilenceBegun": {"because": "the rack is being moved"},
}
CODES = {"Reason": "busy_queue", "Alternative": "gpu_taken", "InstanceStartFailed": "exited"}


def a_sample(event: type[Event]) -> dict[str, Any]:
    """Return a payload with every field filled, valid for the event; raises ValidationError."""
    subject = event.type.partition(".")[0]
    payload = _object(event, NAMES.get(subject, "llama"))
    return event.model_validate(payload).model_dump(mode="json")


def _object(model: type[BaseModel], name: str) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for field, about in model.model_fields.items():
        annotation = about.annotation
        if field in (particular := PARTICULAR.get(model.__name__, {})):
            filled[field] = particular[field]
        elif _first_literal(annotation) is not None:
            filled[field] = _first_literal(annotation)
        elif field == "name":
            filled[field] = NAMES.get(model.__name__, name)
        elif field == "code":
            filled[field] = CODES.get(model.__name__, "refused")
        elif (inner := _inner(annotation)) is not None:
            made = _object(inner, name)
            filled[field] = [made] if _is_list(annotation) else made
        else:
            filled[field] = VALUES[field] if field in VALUES else _plain(annotation, field)
    return filled


def _parts(annotation: Any) -> list[Any]:
    """Return what an annotation is made of, itself first."""
    parts = [annotation]
    for part in get_args(annotation) if get_origin(annotation) is not Literal else ():
        parts += _parts(part)
    return parts


def _first_literal(annotation: Any) -> Any:
    literals = [part for part in _parts(annotation) if get_origin(part) is Literal]
    return get_args(literals[0])[0] if literals else None


def _inner(annotation: Any) -> type[BaseModel] | None:
    parts = _parts(annotation)
    found = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    return found[0] if found else None


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) in (tuple, list) for part in _parts(annotation))


def _plain(annotation: Any, field: str) -> Any:
    """Return something for a field that nobody gave a value: its type says what."""
    kinds = {get_origin(part) or part for part in _parts(annotation)} - {Union, types.UnionType}
    for kind, value in ((bool, True), (int, 1), (float, 1.0), (dict, {}), (tuple, []), (list, [])):
        if kind in kinds:
            return value
    return field.replace("_", " ") if "Text" in str(annotation) else field.replace("_", "-")
