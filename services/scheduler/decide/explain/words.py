"""Numbers and names as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contracts.envelope import Recorded
    from services.scheduler.state import State

MINUTE_S, HOUR_S = 120.0, 7200.0
MODELS = frozenset({"model_id", "taker"})
CAUSES = {
    "free": "free",
    "held": "in use",
    "node_offline": "on a node that is offline",
    "node_silent": "on a node that has not answered since our network is suspected",
    "not_offered": "not offered by its node's settings",
    "quarantined": "in quarantine",
    "foreign_process": "with a foreign process on it",
    "not_reported": "not reported by its node since it came back",
    "taken_before": "free, but given away or kept for a floor first",
}


def seconds(value: float) -> str:
    """Return a duration: `22 s`, `5 min`, `2.5 h`."""
    if value < MINUTE_S:
        return f"{value:.3g} s"
    if value < HOUR_S:
        return f"{value / 60:.3g} min"
    return f"{value / 3600:.3g} h"


def plural(count: int, one: str) -> str:
    """Return `1 GPU`, `2 GPUs`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def number(value: Any) -> str:
    """Return a value without digits that nobody reads."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def ruled_out(rejected: Mapping[str, int]) -> str:
    """Return why GPUs were not free: `3 in use, 1 in quarantine`."""
    most_first = sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {CAUSES.get(cause, cause)}" for cause, count in most_first)


class Names:
    """What things are called, as far as the state and the facts at hand tell."""

    def __init__(self, state: State, facts: Iterable[Recorded] = ()) -> None:
        self._state = state
        self._models: dict[str, str] = {}
        for fact in facts:
            self._learn(fact.data)

    def _learn(self, data: Mapping[str, Any]) -> None:
        name = data.get("model_name") or data.get("name")
        if "model_id" in data and name:
            self._models.setdefault(data["model_id"], name)

    def model(self, model_id: str | None) -> str:
        """Return a model's name, or its id where the name is not at hand."""
        known = self._state.models.get(model_id or "")
        return known.name if known else self._models.get(model_id or "", model_id or "a model")

    def node(self, node_id: str | None) -> str:
        """Return a node's name, or its id."""
        known = self._state.nodes.get(node_id or "")
        return (known.name if known else "") or node_id or "a node"

    def gpu(self, uuid: str | None, index: int | None = None) -> str:
        """Return `GPU 0 of n1`."""
        known = self._state.gpus.get(uuid or "")
        if known is None:
            return f"GPU {uuid}"
        return f"GPU {known.index if index is None else index} of {self.node(known.node_id)}"

    def of(self, stream: str) -> str:
        """Return a subject such as `node/n1` by its name."""
        kind, _, id_ = stream.partition("/")
        if kind == "instance":
            instance = self._state.instances.get(id_)
            return f"{id_} of {self.model(instance.model_id)}" if instance else id_
        told = {"model": self.model, "node": self.node, "gpu": self.gpu}.get(kind)
        return told(id_) if told else stream


class Said(dict[str, str]):
    """A reason's numbers as text, ready to be put into a sentence; raises KeyError for others."""

    def __init__(self, numbers: Mapping[str, Any], names: Names) -> None:
        super().__init__({key: _text(key, value, names) for key, value in numbers.items()})


def _text(key: str, value: Any, names: Names) -> str:
    if value is None:
        return "unknown"
    if key in MODELS:
        return names.model(str(value))
    if key == "node_id":
        return names.node(str(value))
    if key.endswith("_s") and isinstance(value, int | float):
        return seconds(float(value))
    return number(value)
