"""ACTIONS: everything that can be done from a page, one entry each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.console.decide import administering
from services.console.decide import fields as f
from services.console.decide.action import Action
from services.console.decide.forms import Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDERS = {
    "environment": "environments",
    "model": "models",
    "node": "nodes",
    "instance": "instances",
    "strategy": "scheduling-strategies",
    "webhook": "webhooks",
    "account": "accounts",
    "key": "keys",
    "silence": "alerts/silences",
    "rule": "alerts/rules",
}
LISTS = {
    "environment": "/environments",
    "model": "/models",
    "node": "/nodes",
    "instance": "/deployments",
    "strategy": "/scheduling",
    "webhook": "/alerts",
    "account": "/accounts",
    "own": "/keys",
    "key": "/keys",
    "silence": "/alerts",
    "rule": "/rules",
}
NEW = "new"
KNOWN = "known"  # whoever is logged in


def _crud(
    kind: str, path: str, fields: Sequence[Field], changes: Sequence[Field], what: str, gone: str
) -> tuple[Action, ...]:
    """Return making, changing and deleting of a kind of thing."""
    return (
        Action(f"{kind}.create", f"New {what}", f"New {what}", "", "POST", path, "admin", fields),
        Action(f"{kind}.change", "Change", "Change {name}", "", "PATCH", f"{path}/{{id}}", "admin",
               changes, prefill=True),
        Action(f"{kind}.delete", "Delete", "Delete {name}?", gone, "DELETE", f"{path}/{{id}}",
               "admin", is_grave=True),
    )  # fmt: skip


_ALL = (
    *_crud("environment", "/environments", (f.NAME, f.DESCRIPTION), (f.NAME, f.DESCRIPTION),
           "environment", "It must have no models and no nodes. What happened in it stays in the"
           " log."),
    *_crud("model", "/models", (f.NAME, f.ENVIRONMENT, *f.MODEL, *f.LAUNCH), (f.NAME, *f.MODEL),
           "model", "Its instances are stopped and its GPUs freed. Its queue and what waits in it"
           " are left alone."),
    *_crud("node", "/nodes", (f.NAME, f.ENVIRONMENT, f.AGENT, f.GPUS), (f.NAME, f.AGENT, f.GPUS),
           "node", "Nothing may run on it: drain it first. What happened on it stays in the log."),
    *_crud("strategy", "/scheduling-strategies",
           (f.NAME, Field("policy", "Policy", help="Its rule, such as busy_queue_scaling."),
            f.DESCRIPTION, f.ORDER, f.PARAMETERS),
           (f.DESCRIPTION, f.ORDER, f.PARAMETERS), "strategy",
           "It decides nothing from then on. What runs because of it goes on."),
    Action("node.drain", "Drain", "Drain {name}?",
           "Nothing new is started on its GPUs, until they are put into use again. What it serves"
           " is needed elsewhere: the scheduler starts it there where there is room.",
           "PATCH", "/nodes/{id}", "admin",
           (Field("also_stop", "Stop what runs on it now, too", "tick", in_body=False),),
           {"available_gpu_ids": []}, is_grave=True, also_stops=True),
    Action("node.offer", "Put into use", "Put every GPU of {name} into use?",
           "The scheduler may start models on all of its GPUs.", "PATCH", "/nodes/{id}", "admin"),
    Action("node.start", "Start a model", "Start a model on {name}",
           "It is pinned: it stays there until somebody stops it.", "POST",
           "/nodes/{id}/models/start", fields=(f.WHICH_MODEL, f.WHICH_GPU)),
    Action("node.kill", "Kill a process", "Kill a process on {name}",
           "It is ended at once, without time to finish what it does.", "POST",
           "/nodes/{id}/kill-process", is_grave=True,
           fields=(Field("pid", "Process id", "number", required=True),)),
    Action("model.start", "Start an instance", "Start an instance of {name}",
           "It is pinned: it stays there until somebody stops it.", "POST",
           "/nodes/{node_id}/models/start", fields=(f.ON_NODE, f.WHICH_GPU),
           fixed={"model_id": "{id}"}),
    Action("instance.stop", "Stop", "Stop {instance_id} of {model_name}?",
           "It finishes what it works on, then its GPU is free. If the model needs it, the"
           " scheduler starts another one.", "POST", "/nodes/{node_id}/models/stop",
           fixed={"instance_id": "{id}"}, is_grave=True),
    Action("strategy.activate", "Activate", "Activate {name}?",
           "It decides from the next look on, which is at once.", "POST",
           "/scheduling-strategies/{id}/activate"),
    Action("strategy.deactivate", "Deactivate", "Deactivate {name}?",
           "It decides nothing from then on. What runs goes on running.", "POST",
           "/scheduling-strategies/{id}/deactivate", is_grave=True),
)  # fmt: skip
ACTIONS = {each.code: each for each in (*_ALL, *administering.ALL)}


class _Known(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return ""


def said(text: str, thing: Mapping[str, Any]) -> str:
    """Return a title or a value with what the thing holds in it."""
    return text.format_map(_Known(thing))


def fixed(action: Action, thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the body holds besides the fields."""
    if action.code == "node.offer":
        return {"available_gpu_ids": [each["index"] for each in thing.get("gpus") or ()]}
    return {
        name: said(value, thing) if isinstance(value, str) else value
        for name, value in (action.fixed or {}).items()
    }


def offered(
    codes: Sequence[str], permissions: Sequence[str] | None, *, is_past: bool
) -> list[Action]:
    """Return those actions that somebody may do; none in the past, all when it is not known."""
    if is_past:
        return []
    may = [ACTIONS[code] for code in codes]
    if permissions is None:
        return may
    return [each for each in may if each.permission in (KNOWN, *permissions)]


def flat(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a thing holds, by the names of fields."""
    found = dict(thing)
    for part in ("launch", "limits"):
        if isinstance(thing.get(part), dict):
            found |= {f"{part}.{name}": each for name, each in thing[part].items()}
    return found
