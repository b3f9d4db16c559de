"""CLAUSES: what each code of a reason means, as the part of a sentence behind `because`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from services.scheduler.decide.explain.words import Said, ruled_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.types import Reason
    from services.scheduler.decide.explain.words import Names

# code: what is said, the first of these whose numbers the reason holds.
CLAUSES: dict[str, tuple[str, ...]] = {
    # Why something starts.
    "below_floor": (
        "it must have at least {floor:instance} and had {instances:none}",
        "it had fewer instances than it must have",
    ),
    "busy_without_instance": (
        (
            "its queue held {mean_length} on average, {wait_s} of work"
            " (more than {busy_threshold_s} is busy), and it had no instance"
        ),
        "it was busy and had no instance",
    ),
    "busy_scale_out": (
        (
            "{wait_per_instance_s} of work was queued for {instances:each}"
            " (more than {busy_threshold_s} is busy) and a GPU was free"
        ),
        "it was busy and a GPU was free",
    ),
    "replacement_ready": (
        "{replaced} of {model_id} was stopped to make room for it, and has ended",
        "the instance that was stopped to make room for it has ended",
    ),
    "asked_by_hand": ("somebody asked for it by hand",),
    # Why something stops.
    "replaced": (
        (
            "it was idle (asked nothing for {quiet_s}; idle after {idle_s}) and {taker}, {because},"
            " needed its GPU"
        ),
        "it was idle and another model needed its GPU",
    ),
    "above_max_instances": (
        "the model had {instances:instance} and may have no more than {max}",
        "the model had more instances than it may have",
    ),
    "model_deleted": ("the model was deleted",),
    "node_deleted": ("its node was deleted",),
    # Why a model waits.
    "no_free_gpu": ("no GPU that could serve it is free",),
    "no_node_supports": ("no node supports it",),
    "no_gpu": ("the nodes that support it report no GPU",),
    "no_node_online": ("every node that supports it is offline",),
    "no_gpu_offered": ("no GPU of the nodes that support it is offered by their settings",),
    "fleet_silence_suspected": (
        ("more than half of the nodes fell silent at once, so our own network is under suspicion"),
    ),
    "backing_off": (
        (
            "its last {failures:-attempt} failed (the reason given: {error}) and the next one is"
            " {retry_in_s} away"
        ),
        "its last attempts failed and it is not tried again yet",
    ),
    "start_failing": (
        (
            "no GPU is free, and nobody is stopped for it while its own starts fail"
            " ({failures} in a row; the reason given: {error})"
        ),
        "no GPU is free, and nobody is stopped for it while its own starts fail",
    ),
    "replacement_pending": (
        "{instance_id} of {model_id} is being stopped to make room for it",
        "another's instance is being stopped to make room for it",
    ),
    "instance_unreachable": (
        "its instance is on a node that is out of reach, and may still be serving there",
    ),
    "at_max_instances": (
        (
            "it may have no more than {max}, though {wait_per_instance_s} of work is queued for"
            " {instances:each} (more than {busy_threshold_s} is busy)"
        ),
        "it has {instances:instance} and may have no more than {max}",
        "it has as many instances as it may have",
    ),
    "no_active_strategy": ("no strategy is active",),
    "strategy_unusable": ("no active strategy has parameters that can be obeyed",),
    "not_placed": ("no active strategy spoke for it",),
    "starting": ("an instance of it is starting",),
    "stopping": ("an instance of it is being stopped, and it does one thing at a time",),
    "no_longer_wanted": ("it wants no further instance any more",),
    # Why a model does not want more, or an instance stays.
    "enough": (
        (
            "{wait_per_instance_s} of work is queued for {instances:each} (more than"
            " {busy_threshold_s} is busy), and {floor:needed}"
        ),
        "it has the instances it must have and is not busy",
    ),
    "not_busy": (
        "{wait_s} of work is queued (more than {busy_threshold_s} is busy), and {floor:needed}",
        "it need have no instance and is not busy",
    ),
    "nothing_asked": (
        "its queue held nothing, and {floor:needed}",
        "it need have no instance and its queue held nothing",
    ),
    "nothing_known": (
        "its queue has not been sampled lately, and {floor:needed}",
        "it need have no instance and its queue has not been sampled lately",
    ),
    "about_to_start": ("the scheduler is starting an instance of it at this moment",),
    # What makes a model's case worse or better, beside the dominant reason.
    "queue_unreachable": (
        "its queue cannot be read ({problem}), so nobody knows how much waits",
        "its queue cannot be read",
    ),
    "samples_missing": ("its queue was never sampled",),
    "samples_stale": (
        "the last sample of its queue is {age_s} old",
        "the last sample of its queue is old",
    ),
    "not_idle": (
        "it was asked something {quiet_s} ago (idle after {idle_s})",
        "it was asked something lately",
    ),
    "kept_by_its_floor": (
        "its model has no more than the {floor:instance} it must have",
        "its model has no more instances than it must have",
    ),
    "pinned": ("it was started by hand, which pins it",),
    "in_flight": ("something is under way for it already ({action})", "something is under way"),
    "gpu_unusable": ("its GPU could not be used ({cause})", "its GPU could not be used"),
    "serves_it_already": ("it serves the model already, or the model failed there",),
    "ranked_lower": (
        "another node has as many free GPUs or more ({free_gpus} here)",
        "another node came first",
    ),
    # Refusals of what was asked for by hand.
    "no_such_model": ("there is no such model",),
    "no_such_node": ("there is no such node",),
    "model_not_supported": ("the node does not support it",),
    "no_such_gpu": ("the node has no such GPU",),
    "taken_before": ("the GPU was given to another in the same moment",),
    "gpu_held": ("the GPU is in use by {held_by}", "the GPU is in use"),
    "gpu_node_offline": ("the node is offline",),
    "gpu_node_silent": ("the node has not answered since our own network is suspected",),
    "gpu_not_offered": ("the GPU is not offered by its node's settings",),
    "gpu_quarantined": ("the GPU is in quarantine",),
    "gpu_foreign_process": ("something that is not ours runs on the GPU",),
    "gpu_not_reported": ("its node has not reported the GPU since it came back",),
    # How instances end without anybody wanting it.
    "died_exited": ("its process ended by itself",),
    "died_lost": ("its process was gone when its node was asked",),
    "died_rebooted": ("its node rebooted",),
    "died_lease_ended": ("its node lost the control plane and stopped it, as its start said",),
    "start_failed": ("its start failed: {error}", "its start failed"),
}


def because(reason: Reason, names: Names) -> str:
    """Return a reason as the part of a sentence behind `because`."""
    if reason.code == "no_free_gpu" and reason.rejected:
        room = _no_room(reason) if "held" in reason.rejected else ""
        return f"{ruled_out(reason.rejected)}{room and f', and {room}'}"
    return clause(reason.code, reason.numbers, names)


def _no_room(reason: Reason) -> str:
    """Return why nobody else is stopped for it; by how much it needs a GPU."""
    said: dict[str, Any] = reason.numbers
    if any(each.code == "fleet_silence_suspected" for each in reason.alternatives):
        return "nobody is stopped while our own network is under suspicion"
    if not {"instances", "floor", "wait_s", "busy_threshold_s"} <= said.keys():
        return ""
    if said["instances"] == 0 and said["wait_s"] > said["busy_threshold_s"]:
        return "no other model has an instance that may be stopped for it"
    if said["instances"] < said["floor"]:
        return "no other model has an idle instance to spare"
    return "nobody is stopped for a further instance"


def clause(code: str, numbers: Mapping[str, Any], names: Names) -> str:
    """Return why, without the word; an unknown code stands for itself."""
    said = Said(numbers, names)
    for text in CLAUSES.get(code, ()):
        with suppress(KeyError):
            return text.format_map(said)
    return code.replace("_", " ")
