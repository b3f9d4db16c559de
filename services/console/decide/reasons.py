"""Why something was decided, in a few words and the numbers that it stood on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.console.decide.spoken import quantity, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_REASONS = {
    "busy_without_instance": "{wait_s} of work is queued (busy is over {busy_threshold_s})"
    " and it has no instance",
    "busy_scale_out": "{wait_per_instance_s} of work is queued for each instance"
    " (busy is over {busy_threshold_s})",
    "below_floor": "it has {instances} of the {floor} it must have",
    "instance_unreachable": "an instance of it is out of reach",
    "asked_by_hand": "asked for by hand",
    "replaced": "another model needs its GPU, and nothing was asked of it for {quiet_s}",
    "replacement_ready": "a GPU was freed for it",
    "replacement_pending": "a GPU is being freed for it",
    "no_longer_wanted": "it no longer needs one",
    "model_deleted": "its model was deleted",
    "node_deleted": "its node was deleted",
    "above_max_instances": "it has {instances} and may have {max}",
    "at_max_instances": "it has as many as it may ({max})",
    "no_free_gpu": "no GPU it could use is free",
    "no_node_online": "no node that could serve it is online",
    "no_node_supports": "no node supports it",
    "no_gpu_offered": "no GPU is offered by the nodes that support it",
    "fleet_silence_suspected": "our own network is suspected",
    "backing_off": "it failed {failures} times and is tried again in {retry_in_s}",
    "start_failing": "it failed {failures} times",
    "no_active_strategy": "no strategy is active",
    "not_idle": "it was asked for something {quiet_s} ago",
    "kept_by_its_floor": "its model must keep {floor}",
    "serves_it_already": "that node serves it already",
}
_SHOWN_LAST = ("samples", "average_inference_time_s", "busy_threshold_s", "floor", "max")


def sentence(reason: Mapping[str, Any] | None) -> str:
    """Return a recorded reason in words; a code we have no words for is said as it is."""
    if not reason:
        return ""
    code = str(reason.get("code") or "")
    said = _REASONS.get(code)
    return said.format_map(_Numbers(reason.get("numbers") or {})) if said else words(code)


def numbers(reason: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the numbers a decision was taken on, the telling ones first."""
    found = dict((reason or {}).get("numbers") or {})
    order = sorted(found, key=lambda name: (name in _SHOWN_LAST, name))
    return [(words(name.removesuffix("_s")), quantity(name, found[name])) for name in order]


class _Numbers(dict[str, str]):
    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__({name: quantity(name, value) for name, value in given.items()})

    def __missing__(self, name: str) -> str:
        return "?"
