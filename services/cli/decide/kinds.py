"""KINDS: what can be listed, where it is, and what of it is shown; one entry a kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Column:
    """One column. path: dotted, into the thing. of: the kind whose name stands for this id."""

    title: str
    path: str
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    narrowed: which option narrows the list by which parameter. usual: parameters of a list that
    `--all` leaves out. alone: whether the API has one of them by its id.
    """

    name: str
    plural: str
    path: str
    id: str
    columns: tuple[Column, ...]
    wide: tuple[Column, ...] = ()
    named: str | None = "name"
    aliases: tuple[str, ...] = ()
    narrowed: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True
    has_past: bool = True
    deletable: bool = False
    told: str | None = None
    explained: bool = False


_ENVIRONMENT = {"environment": "environment_id"}
_OF_ENVIRONMENT = Column("environment", "environment_id", "environment")
_OF_NODE = Column("node", "node_id", "node")
_OF_MODEL = Column("model", "model_id", "model")
_SINCE = Column("created", "created_at")

_ALL = (
    Kind(
        "environment",
        "environments",
        "/environments",
        "id",
        (Column("id", "id"), Column("name", "name"), Column("description", "description")),
        (_SINCE, Column("changed", "updated_at"), Column("version", "version")),
        aliases=("env", "envs"),
        deletable=True,
        told="environment",
    ),
    Kind(
        "model",
        "models",
        "/models",
        "id",
        (
            Column("id", "id"),
            Column("name", "name"),
            _OF_ENVIRONMENT,
            Column("ready", "instances.ready"),
            Column("floor", "min_instances"),
            Column("most", "max_instances"),
            Column("waits for", "deferred.reason.code"),
        ),
        (
            Column("starting", "instances.requested"),
            Column("queue", "rabbitmq_queue_name"),
            Column("broker", "rabbitmq_host"),
            Column("inference s", "average_inference_time"),
            Column("launch", "launch.template"),
            _SINCE,
        ),
        narrowed=_ENVIRONMENT,
        deletable=True,
        told="model",
        explained=True,
    ),
    Kind(
        "node",
        "nodes",
        "/nodes",
        "id",
        (
            Column("id", "id"),
            Column("name", "name"),
            _OF_ENVIRONMENT,
            Column("status", "status"),
            Column("seen", "last_seen_at"),
            Column("may use", "available_gpu_ids"),
        ),
        (
            Column("agent", "agent_url"),
            Column("version", "agent_version"),
            Column("answers ms", "answer_ms"),
            Column("error", "last_error"),
            _SINCE,
        ),
        narrowed=_ENVIRONMENT,
        deletable=True,
        told="node",
        explained=True,
    ),
    Kind(
        "gpu",
        "gpus",
        "/gpus",
        "uuid",
        (
            Column("uuid", "uuid"),
            _OF_NODE,
            Column("index", "index"),
            Column("state", "state"),
            _OF_MODEL,
            Column("used %", "utilization_percent"),
            Column("memory MB", "memory_used_mb"),
        ),
        (
            Column("of MB", "memory_mb"),
            Column("instance", "instance_id"),
            Column("permitted", "permitted"),
            Column("quarantine", "quarantine.because"),
            Column("kind", "name"),
        ),
        named=None,
        narrowed={**_ENVIRONMENT, "node": "node_id", "state": "state"},
        told="gpu",
        explained=True,
    ),
    Kind(
        "instance",
        "instances",
        "/instances",
        "instance_id",
        (
            Column("id", "instance_id"),
            Column("model", "model_name"),
            _OF_NODE,
            Column("gpu", "gpu_index"),
            Column("state", "state"),
            Column("since", "started_at"),
            Column("why", "reason.code"),
        ),
        (
            Column("pinned", "pinned"),
            Column("endpoint", "endpoint"),
            Column("load s", "load_s"),
            Column("ended", "ended_at"),
            Column("error", "error"),
        ),
        named=None,
        aliases=("inst",),
        narrowed={"model": "model_id", "node": "node_id", "state": "state"},
        usual={"active": "true"},
        told="instance",
        explained=True,
    ),
    Kind(
        "queue",
        "queues",
        "/queues",
        "model_id",
        (
            Column("model", "model_name"),
            _OF_ENVIRONMENT,
            Column("queue", "queue_name"),
            Column("length", "length"),
            Column("mean of 5 min", "mean_length_5m"),
            Column("consumers", "consumers"),
            Column("sampled", "sampled_at"),
        ),
        (
            Column("ready", "ready"),
            Column("unacknowledged", "unacknowledged"),
            Column("reachable", "reachable"),
            Column("error", "error.code"),
            Column("model id", "model_id"),
        ),
        named="model_name",
        narrowed=_ENVIRONMENT,
        told="queue",
    ),
    Kind(
        "deployment",
        "deployments",
        "/deployments/status",
        "node_id",
        (
            Column("node", "name"),
            _OF_ENVIRONMENT,
            Column("status", "status"),
            Column("gpus", "gpus.#"),
            Column("serves", "gpus.*.instance.model_name"),
        ),
        (Column("id", "node_id"), Column("instances", "gpus.*.instance.instance_id")),
        narrowed=_ENVIRONMENT,
        alone=False,
    ),
    Kind(
        "strategy",
        "strategies",
        "/scheduling-strategies",
        "id",
        (
            Column("id", "id"),
            Column("name", "name"),
            Column("policy", "policy"),
            Column("order", "order"),
            Column("active", "active"),
        ),
        (Column("parameters", "parameters"), Column("description", "description"), _SINCE),
        deletable=True,
        told="strategy",
    ),
    Kind(
        "alert",
        "alerts",
        "/alerts",
        "alert_id",
        (
            Column("id", "alert_id"),
            Column("severity", "severity"),
            Column("open", "open"),
            Column("since", "raised_at"),
            Column("what", "summary"),
        ),
        (Column("times", "raised_times"), Column("over", "resolved_at")),
        named=None,
        usual={"open": "true"},
        alone=False,
        told="alert",
    ),
    Kind(
        "webhook",
        "webhooks",
        "/webhooks",
        "id",
        (
            Column("id", "id"),
            Column("url", "url"),
            Column("answered", "last_status_code"),
            Column("told", "last_delivery_at"),
            Column("error", "last_error"),
        ),
        (Column("signed", "has_secret"), _SINCE),
        named="url",
        deletable=True,
        told="webhook",
    ),
    Kind(
        "account",
        "accounts",
        "/accounts",
        "id",
        (Column("id", "id"), Column("name", "username"), Column("role", "role")),
        (_SINCE, Column("changed", "updated_at")),
        named="username",
        has_past=False,
        deletable=True,
    ),
    Kind(
        "key",
        "keys",
        "/keys",
        "id",
        (
            Column("id", "id"),
            Column("name", "name"),
            Column("role", "role"),
            Column("may", "permissions"),
            Column("ends", "expires_at"),
        ),
        (Column("made by", "created_by"), _SINCE),
        has_past=False,
        deletable=True,
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
SAID: dict[str, Kind] = {
    said: kind for kind in _ALL for said in (kind.name, kind.plural, *kind.aliases)
}


def value(thing: Mapping[str, Any], path: str) -> Any:
    """Return what is at a dotted path: `*` each of a list, `#` how many; None where nothing is."""
    found: Any = thing
    parts = path.split(".")
    for place, part in enumerate(parts):
        if part == "#":
            return len(found or ())
        if part == "*":
            rest = ".".join(parts[place + 1 :])
            return [each for each in (value(one, rest) for one in found or ()) if each is not None]
        found = found.get(part) if isinstance(found, dict) else None
    return found
