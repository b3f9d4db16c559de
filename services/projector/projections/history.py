"""History: which events concern an environment, model, node, GPU, instance, queue, and so on.

An entry's key is `kind/id type`: a subject and a type of event (which never has a space), so that
the events of some types among very many are found as fast as all of them. The entry itself says
nothing: the event is in the log, at its position.
"""

from collections.abc import Iterable

from contracts.catalogue import CATALOGUE
from contracts.envelope import Recorded
from services.projector.state import Row, Series

# What an id in a payload is the id of.
_NAMED = (
    ("environment_id", "environment"),
    ("model_id", "model"),
    ("replaced_by", "model"),
    ("node_id", "node"),
    ("gpu_uuid", "gpu"),
    ("instance_id", "instance"),
    ("replaces", "instance"),
    ("strategy_id", "strategy"),
    ("alert_id", "alert"),
    ("webhook_id", "webhook"),
)
# What the subject of an alert is, by its rule.
_SUBJECTS = {
    "node_offline": ("node",),
    "agent_lost": ("node",),
    "gpu_quarantined": ("gpu",),
    "instance_stuck": ("instance",),
    "model_floor": ("model",),
    "queue_growth": ("model", "queue"),
    "queue_unreachable": ("model", "queue"),
}
# What says something of a model's queue without being in the queue's own stream.
_OF_QUEUES = frozenset({"model.registered", "model.updated", "model.deleted"})
# Bookkeeping of the control plane itself concerns none of them.
_ABOUT_NOTHING = frozenset(
    {
        "lease.acquired",
        "fold.skipped",
        "name.claimed",
        "name.released",
        "parked.retried",
        "parked.dropped",
    }
)
# The fields that each type has: most have two or three of them.
_FIELDS = {
    entry.event.type: [(field, kind) for field, kind in _NAMED if field in entry.event.model_fields]
    for entry in CATALOGUE.values()
}


def concerned(event: Recorded) -> list[str]:
    """Return the subjects that an event concerns, as `kind/id`, each once.

    A strategy decides under its name, so its decisions are kept under `strategy-name/name`.
    """
    data = event.data
    named = _FIELDS.get(event.type, _NAMED)
    found = [f"{kind}/{data[field]}" for field, kind in named if data.get(field)]
    if event.type.startswith("queue.") or event.type in _OF_QUEUES:
        found.append(f"queue/{data['model_id']}")
    if data.get("rule") is not None and data.get("subject") is not None:
        found += [f"{kind}/{data['subject']}" for kind in _SUBJECTS.get(data["rule"], ())]
    if event.type == "node.inventory_changed":
        found += [f"gpu/{gpu['uuid']}" for gpu in data["gpus"]]
    if strategy := (data.get("reason") or {}).get("strategy"):
        found.append(f"strategy-name/{strategy}")
    return list(dict.fromkeys(found))


def _keys(event: Recorded) -> Iterable[str]:
    return [f"{subject} {event.type}" for subject in concerned(event)]


def _nothing(_event: Recorded) -> Row:
    return {}


HISTORY = Series(
    name="history",
    key=_keys,
    on={
        entry.event: _nothing
        for entry in CATALOGUE.values()
        if entry.retention == "fact" and entry.event.type not in _ABOUT_NOTHING
    },
)
