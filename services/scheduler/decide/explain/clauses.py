"""CLAUSES: what each code of a reason means, as the part of a sentence behind `because`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.scheduler.decide.explain.words import Said, ruled_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.scheduler.decide.explain.words import Names

# code: with its numbers, and without them, where an older reason does not hold them all.
CLAUSES: dict[str, tuple[str, str]] = {
    # Why something starts.
    "below_floor": (
        "it must have at least {floor} serving and had {instances}",
        "it had fewer instances than it must have",
    ),
    "busy_without_instance": (
        (
            "its queue held {mean_length} on average, {wait_s} of work"
            " (more than {busy_threshold_s} is busy), and no instance served it"
        ),
        "it was busy and no instance served it",
    ),
    "busy_scale_out": (
        (
            "each of its {instances} serving had {wait_per_instance_s} of work queued"
            " (more than {busy_threshold_s} is busy) and a GPU was free"
        ),
        "it was busy and a GPU was free",
    ),
    "replacement_ready": (
        "{replaced} of {model_id} was stopped to make room for it, and has ended",
        "the instance that was stopped to make room for it has ended",
    ),
    "asked_by_hand": ("somebody asked for it by hand",) * 2,
    # Why something stops.
    "replaced": (
        (
            "{taker} needed the GPU, and nobody had asked it anything for {quiet_s}"
            " (idle after {idle_s})"
        ),
        "another model needed the GPU and it was idle",
    ),
    "above_max_instances": (
        "the model had {instances} instances and may have {max}",
        "the model had more instances than it may have",
    ),
    "model_deleted": ("the model was deleted",) * 2,
    "node_deleted": ("its node was deleted",) * 2,
    # Why a model waits.
    "no_free_gpu": ("no GPU that could serve it is free",) * 2,
    "no_node_supports": ("no node supports it",) * 2,
    "no_gpu": ("the nodes that support it report no GPU",) * 2,
    "no_node_online": ("every node that supports it is offline",) * 2,
    "no_gpu_offered": ("no GPU of the nodes that support it is offered by their settings",) * 2,
    "fleet_silence_suspected": (
        "more than half of the nodes fell silent at once, so our own network is suspected",
    )
    * 2,
    "backing_off": (
        (
            "its last starts failed ({failures} in a row, the last by {error}); the next try is in"
            " {retry_in_s}"
        ),
        "its last starts failed and it is not tried again yet",
    ),
    "start_failing": (
        (
            "its starts keep failing ({failures} in a row, the last by {error}), so no room is made"
            " for it yet"
        ),
        "its starts keep failing, so no room is made for it yet",
    ),
    "replacement_pending": (
        "{instance_id} of {model_id} is being stopped to make room for it",
        "another's instance is being stopped to make room for it",
    ),
    "instance_unreachable": (
        "its instance is on a node that is out of reach, and may still be serving there",
    )
    * 2,
    "at_max_instances": (
        "it has {instances} instances and may have no more than {max}",
        "it has as many instances as it may have",
    ),
    "no_active_strategy": ("no strategy is active",) * 2,
    "strategy_unusable": ("no active strategy has parameters that can be obeyed",) * 2,
    "not_placed": ("no active strategy spoke for it",) * 2,
    "starting": ("an instance of it is starting",) * 2,
    "stopping": ("an instance of it is being stopped, and it does one thing at a time",) * 2,
    "no_longer_wanted": ("it wants no further instance any more",) * 2,
    # Why a model does not want more, or an instance stays.
    "enough": (
        (
            "{wait_s} of work is queued (more than {busy_threshold_s} is busy), and {floor} is all"
            " it must have"
        ),
        "it has the instances it must have and is not busy",
    ),
    "nothing_asked": (
        "its queue held nothing, and {floor} is all it must have",
        "it need have no instance and its queue held nothing",
    ),
    "about_to_start": ("the scheduler is starting an instance of it at this moment",) * 2,
    # What makes a model's case worse or better, beside the dominant reason.
    "queue_unreachable": (
        "its queue cannot be read ({problem}), so nobody knows how much waits",
        "its queue cannot be read",
    ),
    "samples_missing": ("its queue was never sampled",) * 2,
    "samples_stale": (
        "the last sample of its queue is {age_s} old",
        "the last sample of its queue is old",
    ),
    "not_idle": (
        "it was asked something {quiet_s} ago (idle after {idle_s})",
        "it was asked something lately",
    ),
    "kept_by_its_floor": ("it has no more instances than the {floor} it must have",) * 2,
    "pinned": ("it was started by hand, which pins it",) * 2,
    "in_flight": ("something is under way for it already ({action})", "something is under way"),
    "gpu_unusable": ("its GPU could not be used ({cause})", "its GPU could not be used"),
    "serves_it_already": ("it serves the model already, or the model failed there",) * 2,
    "ranked_lower": (
        "another node had as many GPUs free or more ({free_gpus} here)",
        "another node came first",
    ),
    # Refusals of what was asked for by hand.
    "no_such_model": ("there is no such model",) * 2,
    "no_such_node": ("there is no such node",) * 2,
    "model_not_supported": ("the node does not support it",) * 2,
    "no_such_gpu": ("the node has no such GPU",) * 2,
    "taken_before": ("the GPU was given to another in the same moment",) * 2,
    "gpu_held": ("the GPU is in use by {held_by}", "the GPU is in use"),
    "gpu_node_offline": ("the node is offline",) * 2,
    "gpu_node_silent": ("the node has not answered since our own network is suspected",) * 2,
    "gpu_not_offered": ("the GPU is not offered by its node's settings",) * 2,
    "gpu_quarantined": ("the GPU is in quarantine",) * 2,
    "gpu_foreign_process": ("something that is not ours runs on the GPU",) * 2,
    "gpu_not_reported": ("its node has not reported the GPU since it came back",) * 2,
    # How instances end without anybody wanting it.
    "died_exited": ("its process ended by itself",) * 2,
    "died_lost": ("its process was gone when its node was asked",) * 2,
    "died_rebooted": ("its node rebooted",) * 2,
    "died_lease_ended": ("its node lost the control plane and stopped it, as its start said",) * 2,
    "start_failed": ("its start failed: {error}", "its start failed"),
}


def clause(
    code: str, numbers: Mapping[str, Any], names: Names, rejected: Mapping[str, int] | None = None
) -> str:
    """Return why, without the word; an unknown code stands for itself."""
    full, short = CLAUSES.get(code) or (code.replace("_", " "),) * 2
    if code == "no_free_gpu" and rejected:
        total = sum(rejected.values())
        which = f"none of the {total} GPUs" if total > 1 else "the only GPU"
        is_free = "is free" if total > 1 else "is not free"
        return f"{which} that could serve it {is_free}: {ruled_out(rejected)}"
    try:
        return full.format_map(Said(numbers, names))
    except KeyError:
        return short
