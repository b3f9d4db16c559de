"""Numbers and names as people say them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from services.scheduler.state.entities import ANY_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contracts.envelope import Recorded
    from services.scheduler.state import State

MILLISECONDS_S, MINUTE_S, HOUR_S = 0.1, 120.0, 7200.0
CODES = frozenset({"error", "problem", "cause", "action"})
MODELS = frozenset({"model_id", "taker"})
# What GPUs are, behind `is` and behind `are`.
CAUSES = {
    "free": "free",
    "held": "in use",
    "node_offline": "on an offline node",
    "node_silent": "on a node that has not answered since our own network is under suspicion",
    "not_offered": "not offered by the settings of the node",
    "quarantined": "in quarantine",
    "foreign_process": "in use by a process that is not ours",
    "not_reported": "not reported yet by the node, which has just come online",
    "taken_before": "kept for models that come first",
}
TAKERS = {
    "below_floor": "short of the instances it must have",
    "busy_without_instance": "busy and without an instance",
}


def seconds(value: float) -> str:
    """Return a duration: `35 ms`, `22 s`, `5 min`, `2.5 h`."""
    if 0 < value < MILLISECONDS_S:
        return f"{value * 1000:.2g} ms"
    if value < MINUTE_S:
        return f"{value:.3g} s"
    if value < HOUR_S:
        return f"{value / 60:.3g} min"
    return f"{value / 3600:.3g} h"


def plural(count: int, one: str) -> str:
    """Return `1 GPU`, `2 GPUs`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def said(code: str) -> str:
    """Return a code as words: `not found`."""
    return code.replace("_", " ")


def supports(models: Sequence[str]) -> str:
    """Return what a node supports: `every model`, `no model`, or their names."""
    return "every model" if ANY_MODEL in models else ", ".join(models) or "no model"


def number(value: Any) -> str:
    """Return a value without digits that nobody reads."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def are(count: int, cause: str) -> str:
    """Return what so many GPUs are: `is in use`, `are in quarantine`."""
    return f"{'is' if count == 1 else 'are'} {CAUSES.get(cause, cause)}"


def each_is(counts: Mapping[str, int]) -> str:
    """Return what GPUs are, by cause: `3 are in use, 1 is in quarantine`."""
    most_first = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {are(count, cause)}" for cause, count in most_first)


def ruled_out(rejected: Mapping[str, int]) -> str:
    """Return why no GPU was free: `all 3 GPUs that could serve it are in use`."""
    total = sum(rejected.values())
    if total == 1:
        return f"the only GPU that could serve it {are(1, *rejected)}"
    if len(rejected) == 1:
        which = "both" if total == 2 else f"all {total}"  # noqa: PLR2004 (a pair)
        return f"{which} GPUs that could serve it {are(total, *rejected)}"
    return f"none of the {total} GPUs that could serve it is free: {each_is(rejected)}"


def listed(words: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


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
        super().__init__({key: Counted(_text(key, value, names)) for key, value in numbers.items()})


class Counted(str):
    """A number that a sentence can ask for in words.

    `{n:instance}` is `1 instance` or `2 instances`; `{n:-attempt}` leaves a 1 away; `{n:each}` is
    `its instance` or `each of its 2 instances`; `{n:none}` is `none` for 0; `{n:needed}` says of a
    floor what it asks for.
    """

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        """Return the number in words."""
        if not spec or not self.isdigit():
            return str(self)
        return _COUNTED.get(spec, _plural)(int(self), spec)


def _plural(count: int, spec: str) -> str:
    return spec[1:] if spec[0] == "-" and count == 1 else plural(count, spec.lstrip("-"))


_COUNTED: dict[str, Callable[[int, str], str]] = {
    "none": lambda count, _: str(count or "none"),
    "each": lambda count, _: "its instance" if count == 1 else f"each of its {count} instances",
    "needed": lambda count, _: (
        f"{plural(count, 'instance')} {'is' if count == 1 else 'are'} all it must have"
        if count
        else "it need not have any"
    ),
}


def _text(key: str, value: Any, names: Names) -> str:
    told: dict[str, Callable[[str], str]] = {
        "because": lambda code: TAKERS.get(code, "in need of it"),
        "node_id": names.node,
        **dict.fromkeys(CODES, said),
        **dict.fromkeys(MODELS, names.model),
    }
    if value is None:
        return "unknown"
    if key in told:
        return told[key](str(value))
    if key.endswith("_s") and isinstance(value, int | float):
        return seconds(value)
    return number(value)
