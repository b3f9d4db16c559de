"""One example of every request and every answer, as the API's description shows them."""

from __future__ import annotations

from typing import Any

AT = "2026-05-04T12:00:00.000000Z"
ENVIRONMENT_ID = "env-0196a1b2c3d4e5f60718"
MODEL_ID = "mdl-0196a1b2c3d4e5f60719"
NODE_ID = "nod-0196a1b2c3d4e5f6071a"
STRATEGY_ID = "str-0196a1b2c3d4e5f6071b"
WEBHOOK_ID = "whk-0196a1b2c3d4e5f6071c"
GPU_UUID = "GPU-5b1f8c2a"
INSTANCE_ID = "i-3-1042-0"
EVENT_ID = "0196a1b2-c3d4-7e5f-8607-18293a4b5c6d"

_KEPT = {"created_at": AT, "updated_at": AT, "version": 1}
_NEW_ENVIRONMENT = {"name": "production", "description": "what customers use"}
_ENVIRONMENT = {
    "id": ENVIRONMENT_ID,
    "environment_id": ENVIRONMENT_ID,
    **_NEW_ENVIRONMENT,
    **_KEPT,
}
_NEW_MODEL = {
    "name": "llama",
    "environment_id": ENVIRONMENT_ID,
    "rabbitmq_host": "10.0.0.5",
    "rabbitmq_port": 15672,
    "rabbitmq_vhost": "/",
    "rabbitmq_queue_name": "llama-requests",
    "rabbitmq_username": "reader",
    "average_inference_time": 1.5,
    "min_instances": 1,
    "max_instances": 4,
}
_MODEL = {"id": MODEL_ID, "model_id": MODEL_ID, **_NEW_MODEL, "has_rabbitmq_password": True}
_NEW_NODE = {
    "name": "gpu-01",
    "environment_id": ENVIRONMENT_ID,
    "agent_url": "http://10.0.0.7:8090",
    "available_gpu_ids": [0, 1],
}
_GPU = {
    "uuid": GPU_UUID,
    "node_id": NODE_ID,
    "environment_id": ENVIRONMENT_ID,
    "index": 0,
    "state": "allocated",
    "instance_id": INSTANCE_ID,
}
_NODE = {"id": NODE_ID, "node_id": NODE_ID, **_NEW_NODE, "online": True}
_INSTANCE = {
    "instance_id": INSTANCE_ID,
    "model_id": MODEL_ID,
    "node_id": NODE_ID,
    "gpu_index": 0,
    "state": "ready",
}
_QUEUE = {"model_id": MODEL_ID, "environment_id": ENVIRONMENT_ID, "length": 12, "mean_5m": 9.5}
_NEW_STRATEGY = {"name": "busy_queue_scaling", "parameters": {"busy_threshold_s": 30}, "order": 0}
_STRATEGY = {"id": STRATEGY_ID, **_NEW_STRATEGY, "policy": "busy_queue_scaling", "active": True}
_NEW_WEBHOOK = {"url": "https://hooks.example.org/quartermaster"}
_WEBHOOK = {"id": WEBHOOK_ID, **_NEW_WEBHOOK, "has_secret": True}
_DELIVERY = {
    "position": 1044,
    "at": AT,
    "message_id": EVENT_ID,
    "message_type": "alert.raised",
    "alert_id": f"node_offline:{NODE_ID}:1042",
    "attempt": 1,
    "state": "delivered",
    "status_code": 204,
    "error": None,
    "asked": None,
}
_RULE = {
    "rule": "queue_growth",
    "about": "A queue is far longer than in the time before.",
    "enabled": True,
    "limits": {"factor": 2.0, "messages": 10.0},
}
_NEW_SILENCE = {"until": AT, "because": "the rack is being moved", "rule": "node_offline"}
_SILENCE = {"id": "sil-0196a1b2c3d4e5f60721", **_NEW_SILENCE, "subject": None}
_ALERT = {"alert_id": f"node_offline:{NODE_ID}:1042", "severity": "critical", "open": True}
_DECISION = {"position": 1042, "model_id": MODEL_ID, "code": "busy", "numbers": {"wait_s": 41.5}}
_EVENT = {
    "position": 1042,
    "event_id": EVENT_ID,
    "stream": f"node/{NODE_ID}",
    "version": 7,
    "type": "node.went_offline",
    "schema_version": 1,
    "data": {"node_id": NODE_ID, "silent_s": 12.5, "error": "no answer"},
    "meta": {"actor": "node_monitor", "occurred_at": AT, "proposer": "node_monitor"},
    "recorded_at": AT,
}
_ASKED = {"ask_id": "ask-0196a1b2c3d4e5f6071d", "node_id": NODE_ID}
_JOB = {"job_id": "job-1", "kind": "verify", "state": "running", "progress": 0.25}
_PARKED = {
    "id": "5d41402abc4b2a76",
    "reason": "not_allowed",
    "detail": "events.0.type: gateway may not propose queue.sampled",
    "proposer": "gateway",
    "parked_at": AT,
    "bytes": 412,
    "events": 1,
    "types": ["queue.sampled"],
    "streams": [f"queue-samples/{MODEL_ID}"],
}
_REBUILD = {"rebuild_id": "rb-0196a1b2c3d4e5f6071e", "state": "asked", "only_compare": False}
_ACCOUNT = {"id": "acc-0196a1b2c3d4e5f6071f", "username": "mara", "role": "operator"}
_NEW_KEY = {"name": "ci", "role": "operator", "expires_in_days": 90}
_KEY = {"id": "key-0196a1b2c3d4e5f60720", "name": "ci", "role": "operator"}
_PASSWORD = "correct-horse-battery"  # noqa: S105 (an example)
_TOKENS = {"access_token": "eyJ...", "token_type": "bearer", "expires_in": 3600}


def page(item: Any) -> dict[str, Any]:
    """Return one page with this one thing."""
    return {"items": [item], "next_cursor": None}


REQUESTS: dict[str, Any] = {
    "POST /environments": _NEW_ENVIRONMENT,
    "PUT /environments/{environment_id}": {"description": "what customers use"},
    "PATCH /environments/{environment_id}": {"description": "what customers use"},
    "POST /models": {**_NEW_MODEL, "rabbitmq_password": "a secret"},
    "PUT /models/{model_id}": {"average_inference_time": 2.0},
    "PATCH /models/{model_id}": {"max_instances": 8},
    "POST /nodes": _NEW_NODE,
    "PUT /nodes/{node_id}": {"available_gpu_ids": [0]},
    "PATCH /nodes/{node_id}": {"available_gpu_ids": [0, 1, 2, 3]},
    "POST /nodes/{node_id}/models/start": {"model_name": "llama", "gpu_id": 1},
    "POST /nodes/{node_id}/models/stop": {"model_name": "llama", "gpu_id": 1},
    "POST /nodes/{node_id}/kill-process": {"pid": 4711},
    "POST /scheduling-strategies": _NEW_STRATEGY,
    "PUT /scheduling-strategies/{strategy_id}": {"parameters": {"busy_threshold_s": 20}},
    "PATCH /scheduling-strategies/{strategy_id}": {"parameters": {"busy_threshold_s": None}},
    "POST /webhooks": _NEW_WEBHOOK,
    "PUT /webhooks/{webhook_id}": {"rotate_secret": True},
    "PATCH /webhooks/{webhook_id}": _NEW_WEBHOOK,
    "PUT /alerts/rules/{rule}": {"limits": {"factor": 3.0, "messages": None}},
    "PATCH /alerts/rules/{rule}": {"enabled": False},
    "POST /alerts/silences": _NEW_SILENCE,
    "POST /log/jobs": {"kind": "verify"},
    "POST /parked/{parked_id}/drop": {"because": "sent by a test"},
    "POST /rebuilds": {"models": ["nodes"], "only_compare": True},
    "PUT /accounts/{account_id}/role": {"role": "operator"},
    "PUT /accounts/{account_id}/password": {"password": _PASSWORD},
    "POST /keys": _NEW_KEY,
    "POST /auth/register": {"username": "mara", "password": _PASSWORD},
    "POST /auth/jwt/login": {"username": "mara", "password": _PASSWORD},
    "POST /auth/jwt/refresh": {"refresh_token": "qmr_..."},
    "POST /auth/password": {"current_password": _PASSWORD, "password": f"{_PASSWORD}-2"},
}

ANSWERS: dict[str, Any] = {
    "/environments": page(_ENVIRONMENT),
    "/environments/{environment_id}": _ENVIRONMENT,
    "/environments/{environment_id}/models": page(_MODEL),
    "/environments/{environment_id}/nodes": page(_NODE),
    "/models": page(_MODEL),
    "/models/{model_id}": _MODEL,
    "/nodes": page(_NODE),
    "/nodes/{node_id}": {**_NODE, "gpus": [_GPU]},
    "/nodes/{node_id}/heartbeat": {"node_id": NODE_ID},
    "/nodes/{node_id}/status": {**_NODE, "gpus": [_GPU]},
    "/nodes/{node_id}/models": {"node_id": NODE_ID, "supported_models": ["llama"]},
    "/nodes/{node_id}/gpus": {"node_id": NODE_ID, "available_gpu_ids": [0, 1], "gpus": [_GPU]},
    "/nodes/{node_id}/models/start": _ASKED,
    "/nodes/{node_id}/models/stop": {"node_id": NODE_ID, "instance_id": INSTANCE_ID},
    "/nodes/{node_id}/processes/{pid}/kill": {"node_id": NODE_ID, "pid": 4711},
    "/nodes/{node_id}/kill-process": {"node_id": NODE_ID, "pid": 4711},
    "/queues": page(_QUEUE),
    "/queues/{model_id}": _QUEUE,
    "/queues/{model_id}/history": page({"position": 1041, "length": 12, "sampled_at": AT}),
    "/deployments/status": page({**_NODE, "gpus": [{**_GPU, "instance": _INSTANCE}]}),
    "/gpus": page(_GPU),
    "/gpus/{uuid}": _GPU,
    "/instances": page(_INSTANCE),
    "/instances/{instance_id}": _INSTANCE,
    "/asks/{ask_id}": {**_ASKED, "instance_state": "ready"},
    "/alerts": page(_ALERT),
    "/decisions": page(_DECISION),
    "/status": {"head": 1042, "lag": 0, "checkpoints": [], "leases": []},
    "/events": page(_EVENT),
    "/history/{kind}/{id_}": {"kind": "node", "id": NODE_ID, "zoom": "groups", "items": []},
    "/blame/{event}": {"event": _EVENT, "causes": [], "effects": []},
    "/explain/{kind}/{id_}": {"kind": "model", "id": MODEL_ID, "reasons": [_DECISION]},
    "/scheduling-strategies": page(_STRATEGY),
    "/scheduling-strategies/{strategy_id}": _STRATEGY,
    "/scheduling-strategies/{strategy_id}/activate": _STRATEGY,
    "/scheduling-strategies/{strategy_id}/deactivate": {**_STRATEGY, "active": False},
    "/webhooks": page(_WEBHOOK),
    "/webhooks/{webhook_id}": _WEBHOOK,
    "/log/jobs": {"items": [_JOB]},
    "/log/jobs/{job_id}": _JOB,
    "/webhooks/{webhook_id}/deliveries": page(_DELIVERY),
    "/webhooks/{webhook_id}/deliveries/{message_id}/resend": {
        "webhook_id": WEBHOOK_ID,
        "message_id": EVENT_ID,
    },
    "/webhooks/{webhook_id}/test": {
        "webhook_id": WEBHOOK_ID,
        "message_id": "test-0196a1b2c3d4e5f60722",
    },
    "/alerts/{alert_id}": _ALERT,
    "/alerts/rules": page(_RULE),
    "/alerts/rules/{rule}": _RULE,
    "/alerts/silences": page(_SILENCE),
    "/alerts/silences/{silence_id}": {"id": _SILENCE["id"], "lifted": True},
    "/log/jobs/{job_id}/cancel": {**_JOB, "state": "cancelled"},
    "/log/verify": {"ok": True, "positions": 1042},
    "/log/export": _EVENT,
    "/instances/{instance_id}/logs": "serving llama at port 9000\n",
    "/parked": {"items": [_PARKED]},
    "/parked/{parked_id}": {**_PARKED, "digest": "", "proposals": [{"events": []}], "text": None},
    "/parked/{parked_id}/retry": {**_PARKED, "recorded": True, "results": []},
    "/parked/{parked_id}/drop": {**_PARKED, "dropped": True},
    "/rebuilds": page(_REBUILD),
    "/rebuilds/{rebuild_id}": _REBUILD,
    "/accounts": page(_ACCOUNT),
    "/accounts/{account_id}": _ACCOUNT,
    "/accounts/{account_id}/role": _ACCOUNT,
    "/accounts/{account_id}/password": _ACCOUNT,
    "/keys": page(_KEY),
    "/keys/{key_id}": _KEY,
    "/auth/register": {**_ACCOUNT, **_KEPT},
    "/auth/jwt/login": _TOKENS,
    "/auth/jwt/refresh": _TOKENS,
    "/auth/me": {"kind": "account", **_ACCOUNT, "permissions": ["read", "operate"]},
    "/auth/password": {**_ACCOUNT, **_KEPT},
    "/api/gpu/websocket/stats": {"active_connections": 2, "total_connections": 17},
    "/": {"name": "Quartermaster", "version": "1.0.0", "api": "/api/v1", "docs": "/docs"},
    "/health": {"service": "gateway", "status": "ok", "parts": {"log": {"ok": True, "detail": ""}}},
}
# Where what is made differs from the page of what there is.
MADE: dict[str, Any] = {
    "/environments": _ENVIRONMENT,
    "/models": _MODEL,
    "/nodes": _NODE,
    "/scheduling-strategies": _STRATEGY,
    "/webhooks": {**_WEBHOOK, "secret": "whsec_c2hvd24gb25jZSwgd2hlbiBpdCBpcyBtYWRl"},
    "/log/jobs": _JOB,
    "/rebuilds": _REBUILD,
    "/keys": {**_KEY, "key": "qmk_..."},
}
PARAMETERS: dict[str, Any] = {
    "environment_id": ENVIRONMENT_ID,
    "model_id": MODEL_ID,
    "node_id": NODE_ID,
    "strategy_id": STRATEGY_ID,
    "webhook_id": WEBHOOK_ID,
    "uuid": GPU_UUID,
    "instance_id": INSTANCE_ID,
    "ask_id": _ASKED["ask_id"],
    "job_id": _JOB["job_id"],
    "message_id": EVENT_ID,
    "alert_id": f"node_offline:{NODE_ID}:1042",
    "rule": "queue_growth",
    "silence_id": _SILENCE["id"],
    "parked_id": _PARKED["id"],
    "rebuild_id": _REBUILD["rebuild_id"],
    "account_id": _ACCOUNT["id"],
    "key_id": _KEY["id"],
    "pid": 4711,
    "kind": "node",
    "id_": NODE_ID,
    "id": NODE_ID,
    "event": EVENT_ID,
}
