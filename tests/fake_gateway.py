"""A gateway that says what it is told to say, and keeps what it was asked to do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.console.adapters.gateway import Answer, Told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOKEN = "a-token-of-many-letters"


def at(minutes_before: float) -> str:
    """Return a time so many minutes before noon, as the API writes it."""
    return (NOON - timedelta(minutes=minutes_before)).isoformat().replace("+00:00", "Z")


REASON = {
    "code": "busy_scale_out",
    "numbers": {"wait_per_instance_s": 42.0, "busy_threshold_s": 30.0, "instances": 1},
    "rejected": {"held": 3},
    "strategy": "busy_queue_scaling",
    "alternatives": [{"code": "not_idle", "subject": "instance/i-9", "numbers": {"quiet_s": 4.0}}],
}


def an_instance(id_: str = "i-1", **other: Any) -> dict[str, Any]:
    return {
        "instance_id": id_, "state": "ready", "model_id": "mdl-1", "model_name": "llama",
        "node_id": "nod-1", "gpu_uuid": "GPU-0", "gpu_index": 0, "started_at": at(10),
        "requested_at": at(11), "load_s": 3.5, "reason": REASON, "pid": 7, **other,
    }  # fmt: skip


def a_gpu(index: int = 0, **other: Any) -> dict[str, Any]:
    return {
        "uuid": f"GPU-{index}", "index": index, "name": "H100", "state": "free",
        "node_id": "nod-1", "permitted": True, "memory_mb": 81920, "memory_used_mb": 100,
        "quarantine": None, "foreign_pids": [], "utilization_percent": 40.0, **other,
    }  # fmt: skip


def a_model(id_: str = "mdl-1", name: str = "llama", **other: Any) -> dict[str, Any]:
    return {
        "id": id_, "name": name, "environment_id": "env-1", "min_instances": 1,
        "max_instances": 3, "average_inference_time": 2.0, "floor_unmet": None, "deferred": None,
        "instances": {"ready": 1, "requested": 0, "stopping": 0}, "rabbitmq_host": "10.0.0.5",
        "rabbitmq_port": 15672, "rabbitmq_amqp_port": 5672, "rabbitmq_vhost": "/",
        "rabbitmq_queue_name": "llama", "rabbitmq_username": "m", "has_rabbitmq_password": True,
        "launch": {"template": "vllm", "parameters": {}}, "on_lost_control": "serve",
        "version": 1, **other,
    }  # fmt: skip


def a_queue(**other: Any) -> dict[str, Any]:
    return {
        "model_id": "mdl-1", "length": 12, "mean_length_5m": 9.0, "reachable": True,
        "error": None, "sampled_at": at(0), **other,
    }  # fmt: skip


def a_broken_queue(**other: Any) -> dict[str, Any]:
    error = {"code": "unauthorized", "detail": "the broker answered 401."}
    return a_queue(model_id="mdl-2", length=None, mean_length_5m=None, reachable=False,
                   error=error, **other)  # fmt: skip


def a_quarantined_gpu(index: int = 1) -> dict[str, Any]:
    quarantine = {"because": "its node reports [4711] on it", "instance_id": "i-0", "since": at(7)}
    return a_gpu(index, state="quarantined", quarantine=quarantine, foreign_pids=[4711])


def a_decision(position: int = 90, **other: Any) -> dict[str, Any]:
    return {
        "position": position, "type": "instance.start_requested", "at": at(2), "model_id": "mdl-1",
        "stream": "instance/i-1", "reason": REASON, **other,
    }  # fmt: skip


def an_event(position: int = 100, **other: Any) -> dict[str, Any]:
    return {
        "position": position, "type": "node.went_offline", "stream": "node/nod-1",
        "data": {"node_id": "nod-1", "silent_s": 95.0}, "meta": {"actor": "node_monitor"},
        "recorded_at": at(0), **other,
    }  # fmt: skip


def a_rule(rule: str = "node_offline", **other: Any) -> dict[str, Any]:
    bound = {"default": 30, "least": 0, "most": 86400.0, "about": "Longer where it comes and goes."}
    return {
        "rule": rule, "about": "A node's agent does not answer.", "enabled": True,
        "limits": {"calm_s": 60}, "bounds": {"calm_s": bound}, **other,
    }  # fmt: skip


def a_delivery(position: int = 80, **other: Any) -> dict[str, Any]:
    message = {"message_id": "msg-1", "alert_id": "node_offline:nod-2:5", "at": at(4),
               "message_type": "alert.raised", "subject": "nod-1", "data": {}}  # fmt: skip
    return {
        "position": position, "at": at(3), "message_id": "msg-1", "attempt": 2,
        "alert_id": "node_offline:nod-2:5", "state": "given_up", "status_code": 500,
        "error": "it answered 500", "asked": None, "message": message, **other,
    }  # fmt: skip


ADMINISTERED: dict[str, Any] = {
    "/accounts": [
        {"id": "acc-1", "username": "ann", "role": "admin", "created_at": at(90),
         "updated_at": at(90), "version": 1},
        {"id": "acc-2", "username": "bob", "role": "viewer", "created_at": at(60),
         "updated_at": at(30), "version": 2},
    ],
    "/keys": [
        {"id": "key-1", "name": "ci", "role": "operator", "permissions": ["read", "operate"],
         "expires_at": at(-60 * 24 * 3), "created_by": "acc-2", "created_at": at(20)},
        {"id": "key-2", "name": "old", "role": "agent", "permissions": ["heartbeat"],
         "expires_at": at(1), "created_by": None, "created_at": at(99)},
    ],
    "/alerts/rules": [a_rule(), a_rule("gpu_quarantined", limits={}, bounds={}, enabled=False)],
    "/alerts/silences": [
        {"id": "sil-1", "rule": "node_offline", "subject": "nod-1", "because": "new fans",
         "until": at(-45), "created_at": at(15)}
    ],
    "/webhooks": [{"id": "whk-1", "url": "https://alerts.example/hook", "kind": "standard",
                   "has_secret": True, "created_at": at(60), "version": 1}],
    "/webhooks/whk-1/deliveries": [
        a_delivery(82, message_id="test-1", message={"message_type": "alert.test"}, attempt=1,
                   state="delivered", status_code=204, error=None),
        a_delivery(81), a_delivery(80, attempt=1, state="failing"),
    ],
}  # fmt: skip
ADMINISTERED |= {
    "/accounts/acc-2": ADMINISTERED["/accounts"][1],
    "/keys/key-1": ADMINISTERED["/keys"][0],
    "/alerts/rules/node_offline": a_rule(),
    "/webhooks/whk-1": ADMINISTERED["/webhooks"][0],
}


EXPLANATION = {
    "kind": "model", "id": "mdl-1", "name": "llama", "status": "serving", "position": 100,
    "at": at(0), "sentence": "llama has 1 instance and wants another.", "tried": 9,
    "reasons": [{"code": "no_free_gpu", "sentence": "Every GPU is in use.", "numbers":
                 {"wait_s": 42.0}, "position": 88, "at": at(1), "recorded": True}],
    "counterfactuals": [{"sentence": "If one more GPU were free, llama would start.",
                         "change": {"field": "free_gpus", "today": 0, "needed": 1, "unit": ""},
                         "effect": {"code": "starts", "model_id": "mdl-1"}}],
    "alternatives": [{"subject": "instance/i-9", "code": "not_idle", "sentence": "i-9 is busy."}],
    "rejected": {"held": 8},
}  # fmt: skip


class FakeGateway:
    """Answers from `says`, by path; 404 for any other. `asked` and `done` keep what came."""

    def __init__(self) -> None:
        node = {"id": "nod-1", "node_id": "nod-1", "name": "gpu-1", "status": "online",
                "agent_url": "http://10.0.0.7:8750", "environment_id": "env-1", "gpus":
                [a_gpu(0, state="allocated", instance_id="i-1", instance=an_instance()),
                 a_quarantined_gpu()], "available_gpu_ids": [0, 1], "last_seen_at": at(0), "answer_ms": 12.0,
                "status_since": at(30), "supported_models": ["*"]}  # fmt: skip
        samples = [
            {"sampled_at": at(m), "length": m % 5, "unacknowledged": 1, "consumers": 1}
            for m in range(14)
        ]
        self.says: dict[str, Any] = {
            "/status": {"head": 100},
            "/environments": [{"id": "env-1", "name": "prod", "created_at": at(60)}],
            "/environments/env-1": {"id": "env-1", "name": "prod", "created_at": at(60)},
            "/models": [a_model(), a_model("mdl-2", "qwen")],
            "/models/mdl-1": a_model(),
            "/models/mdl-2": a_model("mdl-2", "qwen"),
            "/nodes": [node],
            "/nodes/nod-1": node,
            "/deployments/status": [node],
            "/gpus": [a_gpu(0, state="allocated", instance_id="i-1"),
                      a_quarantined_gpu()],
            "/gpus/GPU-0": a_gpu(0, state="allocated", instance_id="i-1", model_id="mdl-1"),
            "/gpus/GPU-1": a_quarantined_gpu(),
            "/instances": [an_instance()],
            "/instances/i-1": an_instance(),
            "/queues": [a_queue(), a_broken_queue()],
            "/queues/mdl-1": a_queue(),
            "/queues/mdl-2": a_broken_queue(),
            "/queues/mdl-1/history": samples,
            "/decisions": [a_decision()],
            "/scheduling-strategies": [{"id": "str-1", "name": "busy", "policy": "busy",
                                        "order": 0, "active": True, "parameters":
                                        {"idle_s": 300}, "updated_at": at(60)}],
            "/scheduling-strategies/str-1": {"id": "str-1", "name": "busy", "active": True},
            "/alerts": [{"alert_id": "node_offline:nod-2:5", "open": True, "rule": "node_offline",
                         "severity": "critical", "summary": "node gpu-2 is offline",
                         "subject": "nod-2", "raised_at": at(4), "resolved_at": None,
                         "raised_position": 60, "deliveries": {}, "evidence": {"silent_s": 99}}],
            "/events": [an_event(position) for position in range(1, 101)],
            "/explain/model/mdl-1": EXPLANATION,
            **ADMINISTERED,
        }  # fmt: skip
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.done: list[tuple[str, str, Any, str | None]] = []
        self.answers: list[Answer] = []  # of the next commands, 202 when there are none
        self.is_known = True
        self.told: asyncio.Queue[Told] = asyncio.Queue()
        self.role, self.permissions = "admin", ["read", "operate", "admin"]
        self.addresses: list[str | None] = []  # from where logins came
        self.begun: list[int | None] = []  # behind which positions the log was followed
        self.refusals: list[Answer] = []  # of the next at the door, before it lets anybody in

    async def read(self, caller: Any, path: str, parameters: Sequence[tuple[str, str]] = ()) -> Any:
        sent = dict(parameters)
        self.asked.append((path, sent))
        if not self.is_known or caller.bearer != TOKEN:
            return Answer(401, detail="who are you?")
        if path not in self.says:
            return Answer(404, detail=f"there is no {path}")
        return Answer(200, self._paged(path, self.says[path], sent), 100, at(0))

    def _paged(self, path: str, said: Any, sent: dict[str, str]) -> Any:
        if path == "/status" and "as_of" in sent:
            return {"head": 10}
        if not isinstance(said, list):
            return said
        if path == "/events":
            after = int(sent.get("after", "0"))
            said = [each for each in said if each["position"] > after][: int(sent["limit"])]
        if "active" in sent:
            said = said if sent["active"] == "true" else []
        if "open" in sent:
            said = said if sent["open"] == "true" else []
        told = {"items": said, "next_cursor": None, "position": 100}
        if "as_of" in sent:
            position = int(sent["as_of"]) if sent["as_of"].isdecimal() else 50
            told["as_of"] = {"position": position, "recorded_at": at(5), "telemetry": "kept"}
        return told

    async def command(
        self, caller: Any, method: str, path: str, body: Any = None, key: str | None = None
    ) -> Any:
        self.done.append((method, path, body, key))
        return self.answers.pop(0) if self.answers else Answer(202, {"id": "new-1"}, 101, at(0))

    async def login(self, caller: Any, username: str, password: str) -> Any:
        self.addresses.append(caller.address)
        if self.refusals:
            return self.refusals.pop(0)
        if password != "right":
            return Answer(401, detail="no")
        return Answer(200, {"access_token": TOKEN, "expires_in": 3600, "refresh_token": "r"})

    async def refresh(self, caller: Any, token: str) -> Any:
        self.done.append(("REFRESH", token, None, None))
        return Answer(200, {"access_token": TOKEN, "expires_in": 3600, "refresh_token": "r2"})

    async def logout(self, caller: Any) -> Any:
        self.done.append(("LOGOUT", "", None, None))
        return self.refusals.pop(0) if self.refusals else Answer(204, {})

    async def me(self, caller: Any) -> Any:
        if self.refusals:
            return self.refusals.pop(0)
        if caller.bearer != TOKEN:
            return Answer(401, detail="no")
        return Answer(200, {"username": "ann", "role": self.role, "permissions": self.permissions})

    @asynccontextmanager
    async def live(self, caller: Any, after: int | None, types: Sequence[str]) -> Any:
        if not self.is_known:
            yield Answer(401, detail="no")
            return
        self.begun.append(after)

        async def stream() -> AsyncIterator[Told]:
            while True:
                yield await self.told.get()

        yield stream()

    async def close(self) -> None:
        """Nothing is open."""
