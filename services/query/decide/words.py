"""Every event in one plain sentence: what happened, and why where it says so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.query.decide.reasons import failure, reason, word
from services.query.decide.spoken import count, duration, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contracts.envelope import Recorded
    from contracts.http.history import Nature

_NATURES: dict[str, Nature] = {
    "gateway": "asked",
    "vault": "asked",
    "scheduler": "decided",
    "deployer": "done",
    "node_monitor": "seen",
    "queue_sampler": "seen",
    "alerter": "told",
}


def what(event: Recorded) -> str:
    """Return what an event says; one of a type we have no words for is called by its type."""
    words = _WHAT.get(event.type)
    if words is None:
        return event.type.replace(".", " ").replace("_", " ")
    return words(event.data) if callable(words) else words.format_map(_Fields(event.data))


def why(event: Recorded) -> str | None:
    """Return the reason that an event gives for itself, or None."""
    data = event.data
    if isinstance(data.get("reason"), dict):
        return reason(data["reason"])
    if (ended := failure(event.type, data)) is not None:
        return ended
    words = _WHY.get(event.type)
    return words(data) if words else None


def nature(event: Recorded) -> Nature:
    """Return what kind of thing an event is, by who put it into the log."""
    return _NATURES.get(event.meta.proposer, "seen")


class _Fields(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"


def _reported(data: Mapping[str, Any]) -> str:
    gpus, instances = len(data.get("gpus", ())), len(data.get("instances", ()))
    return (
        f"node {data['node_id']} reported {count(gpus, 'GPU')} and {count(instances, 'instance')}"
    )


def _inventory(data: Mapping[str, Any]) -> str:
    return f"node {data['node_id']} has {count(len(data['gpus']), 'GPU')} (boot {data['boot_id']})"


def _registered(data: Mapping[str, Any]) -> str:
    floor, most = data.get("min_instances", 1), data.get("max_instances", 1)
    return f"model {data['name']} registered, to have {floor} to {most} instances"


def _deferred(data: Mapping[str, Any]) -> str:
    over = data["reason"]["code"] == "no_longer_wanted"
    wish = "no longer wants another instance" if over else "wants another instance and gets none"
    return f"model {data['model_id']} {wish}"


def _start(data: Mapping[str, Any]) -> str:
    said = (
        f"instance {data['instance_id']} of {data['model_name']} is to start"
        f" on GPU {data['gpu_index']} of node {data['node_id']}"
    )
    return f"{said} in place of {data['replaces']}" if data.get("replaces") else said


def _started(data: Mapping[str, Any]) -> str:
    load_s = data.get("load_s") or 0.0
    after = f" after {duration(load_s)}" if load_s else ""
    return f"instance {data['instance_id']} is ready on node {data['node_id']}{after}"


def _stop(data: Mapping[str, Any]) -> str:
    said = f"instance {data['instance_id']} is to stop"
    return f"{said} for model {data['replaced_by']}" if data.get("replaced_by") else said


def _asked(data: Mapping[str, Any]) -> str:
    gpu = data.get("gpu_index")
    place = f"node {data['node_id']}" if gpu is None else f"GPU {gpu} of node {data['node_id']}"
    return f"an instance of {data['model_id']} on {place} asked for by hand"


def _killed(data: Mapping[str, Any]) -> str:
    how = "killed" if data.get("found", True) else "not there to be killed"
    return f"process {data['pid']} of node {data['node_id']} was {how}"


def _sampled(data: Mapping[str, Any]) -> str:
    return f"queue of {data['model_id']} had {count(data['length'], 'message')}"


def _strategy(data: Mapping[str, Any]) -> str:
    active = "active" if data.get("active") else "not active"
    return f"strategy {data['name']} created ({data['policy']}, {active})"


def _rebuild(data: Mapping[str, Any]) -> str:
    return f"rebuild of {', '.join(data['models']) or 'all read models'} asked for"


_WHAT: dict[str, str | Callable[[Mapping[str, Any]], str]] = {
    "environment.created": "environment {name} created",
    "environment.updated": "environment {name} changed",
    "environment.deleted": "environment {environment_id} deleted",
    "environment.joined": "{kind} {member_id} moved into environment {environment_id}",
    "model.registered": _registered,
    "model.updated": "model {name} changed",
    "model.deleted": "model {model_id} deleted",
    "model.floor_unmet": "model {model_id} has {instances} of the {floor} instances it must have",
    "model.floor_met": "model {model_id} has the {floor} instances it must have",
    "model.deferred": _deferred,
    "node.registered": "node {name} registered at {agent_url}",
    "node.updated": "node {name} changed",
    "node.deleted": "node {node_id} deleted",
    "node.reported": _reported,
    "node.heartbeat": "node {node_id} called in",
    "node.inventory_changed": _inventory,
    "node.went_offline": "node {node_id} went offline",
    "node.came_online": "node {node_id} came online",
    "fleet.silence_suspected": "{silent} of {nodes} nodes fell silent at once",
    "fleet.silence_cleared": "enough nodes answer again",
    "process.kill_asked": "process {pid} of node {node_id} is to be killed",
    "process.killed": _killed,
    "process.kill_failed": "process {pid} of node {node_id} was not killed",
    "gpu.allocated": "GPU {gpu_uuid} given to instance {instance_id}",
    "gpu.freed": "GPU {gpu_uuid} free again, it was {instance_id}'s",
    "gpu.quarantined": "GPU {gpu_uuid} put in quarantine",
    "gpu.released": "GPU {gpu_uuid} out of quarantine",
    "instance.start_asked": _asked,
    "instance.start_refused": "the instance of {model_id} asked for by hand was refused",
    "instance.start_requested": _start,
    "instance.started": _started,
    "instance.start_failed": "instance {instance_id} did not start",
    "instance.stop_asked": "the end of instance {instance_id} asked for by hand",
    "instance.stop_requested": _stop,
    "instance.stopped": "instance {instance_id} stopped",
    "instance.died": "instance {instance_id} died",
    "queue.sampled": _sampled,
    "queue.unreachable": "queue of {model_id} cannot be read",
    "queue.recovered": "queue of {model_id} can be read again",
    "strategy.created": _strategy,
    "strategy.configured": "strategy {strategy_id} configured",
    "strategy.activated": "strategy {strategy_id} decides from here on",
    "strategy.deactivated": "strategy {strategy_id} decides no longer",
    "strategy.deleted": "strategy {strategy_id} deleted",
    "alert.raised": "alert: {summary}",
    "alert.resolved": "alert {alert_id} over",
    "alert.delivered": "webhook {webhook_id} was told of alert {alert_id}",
    "alert.delivery_failed": "webhook {webhook_id} did not take alert {alert_id}",
    "webhook.registered": "alerts go to webhook {webhook_id} ({url})",
    "webhook.deleted": "alerts no longer go to webhook {webhook_id}",
    "webhook.test_asked": "a message to try webhook {webhook_id} asked for",
    "webhook.resend_asked": "a message to webhook {webhook_id} asked for again",
    "alert_rule.configured": "alert rule {rule} configured",
    "silence.begun": "alerts silenced until {until}",
    "silence.lifted": "silence {silence_id} lifted",
    "account.registered": "account {name} registered as {role}",
    "account.role_changed": "account {account_id} is {role} now",
    "account.password_changed": "account {account_id} has a new password",
    "account.closed": "account {account_id} closed",
    "key.created": "API key {name} made, with the role {role}",
    "key.revoked": "API key {key_id} revoked",
    "lease.acquired": "{holder} leads the {name} (epoch {epoch})",
    "name.claimed": "the name {name} belongs to {owner}",
    "name.released": "the name {name} is free",
    "secret.rotated": "secret {secret_id} has version {version}",
    "log.partition_sealed": "telemetry of positions {first_position} to {last_position} dropped",
    "rebuild.asked": _rebuild,
    "fold.skipped": "{service} may pass over position {position}",
    "parked.retried": "parked message {parked_id} of {proposer} recorded after all",
    "parked.dropped": "parked message {parked_id} of {proposer} thrown away",
}
_WHY: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "node.went_offline": lambda data: (
        f"silent for {duration(data['silent_s'])}: {first_line(data['error'])}"
    ),
    "process.kill_failed": lambda data: first_line(data["error"]),
    "gpu.freed": lambda data: word(data["because"]),
    "gpu.quarantined": lambda data: first_line(data["because"]),
    "gpu.released": lambda data: first_line(data["because"]),
    "queue.unreachable": lambda data: first_line(data["detail"]),
    "alert.delivery_failed": lambda data: first_line(data["error"]),
    "fold.skipped": lambda data: first_line(data["why"]),
    "parked.dropped": lambda data: first_line(data["because"]),
}
