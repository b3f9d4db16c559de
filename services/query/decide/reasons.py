"""Why something was decided, or ended, in a few words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.query.decide.spoken import Numbers, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_REASONS = {
    "busy_without_instance": "its queued work takes {wait_s} (over {busy_threshold_s})"
    " and it has no instance",
    "busy_scale_out": "its queued work takes {wait_per_instance_s} for each instance"
    " (over {busy_threshold_s})",
    "below_floor": "it has {instances} of the {floor} instances it must have",
    "instance_unreachable": "an instance of it is out of reach",
    "asked_by_hand": "asked for by hand",
    "replaced": "{taker} needs its GPU, and nothing was asked of it for {quiet_s}",
    "replacement_ready": "the GPU of {replaced} was freed for it",
    "replacement_pending": "the GPU of {instance_id} is being freed for it",
    "no_longer_wanted": "it no longer needs one",
    "model_deleted": "its model was deleted",
    "node_deleted": "its node was deleted",
    "above_max_instances": "it has {instances} instances and may have {max}",
    "at_max_instances": "it has as many instances as it may ({max})",
    "no_free_gpu": "no GPU it could use is free",
    "no_node_online": "no node that could serve it is online",
    "no_node_supports": "no node supports it",
    "no_gpu": "the nodes that support it have no GPU",
    "no_gpu_offered": "no GPU is offered by the nodes that support it",
    "fleet_silence_suspected": "our own network is suspected",
    "backing_off": "it failed {failures} times and is tried again in {retry_in_s}: {error}",
    "start_failing": "it failed {failures} times: {error}",
    "no_active_strategy": "no strategy is active",
    "strategy_unusable": "no active strategy can be used",
    "not_placed": "no strategy gave it one",
    "no_such_model": "there is no such model",
    "no_such_node": "there is no node {node_id}",
    "no_such_gpu": "the node has no GPU {gpu_index}",
    "model_not_supported": "the node does not support {model_name}",
    "gpu_held": "GPU {gpu_index} is held by {held_by}",
    "gpu_quarantined": "GPU {gpu_index} is in quarantine",
    "gpu_foreign_process": "something else runs on GPU {gpu_index}",
    "gpu_not_offered": "GPU {gpu_index} is not offered by its node",
    "gpu_node_offline": "the node is offline",
    "ready_timeout": "it was not ready in time",
    "refused_gpu_held": "its node says that the GPU is held",
    "cannot_start": "its process could not be started",
    "exited": "the worker ended by itself",
    "lost": "its node no longer knows it",
    "rebooted": "its node was rebooted",
    "lease_ended": "its node lost the control plane, and it was to stop then",
    "stopped": "it was stopped",
    "start_failed": "it did not start",
    "died": "it died",
}
_SIGNALS = {
    2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM",
}  # fmt: skip
_SHELL = 128
_OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|oom[- ]?kill|cannot allocate memory", re.IGNORECASE
)


def reason(said: Mapping[str, Any]) -> str:
    """Return a recorded reason in words; a code we have no words for is said as it is."""
    code = str(said["code"])
    words = _REASONS.get(code)
    if words is None:
        return code.replace("_", " ")
    return words.format_map(Numbers(said.get("numbers") or {}))


def word(code: str) -> str:
    """Return a code without numbers in words."""
    return reason({"code": code})


def failure(type_: str, data: Mapping[str, Any]) -> str | None:
    """Return why a worker ended unwanted, or None for every other event."""
    if type_ == "instance.start_failed":
        if _OUT_OF_MEMORY.search(data["error"]):
            return "out of memory"
        known = word(data["code"]) if data["code"] in _REASONS else None
        return known if known and data["code"] != "exited" else first_line(data["error"])
    if type_ != "instance.died":
        return None
    if data["because"] != "exited":
        return word(data["because"])
    if _OUT_OF_MEMORY.search(data.get("log_tail") or ""):
        return "out of memory"
    return exit_words(data.get("exit_code"))


def exit_words(code: int | None) -> str:
    """Return how a process ended: by a signal, or with which code."""
    if code is None:
        return "the worker ended by itself"
    number = -code if code < 0 else code - _SHELL
    if number in _SIGNALS:
        return f"killed by {_SIGNALS[number]}"
    return f"the worker ended with exit code {code}"
