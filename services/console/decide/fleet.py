"""The fleet as a map: every GPU a cell that says what it does, node by node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of
from services.console.decide.spoken import ago, memory, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

COLOURS = 10
DOES = {
    "serving": "serving",
    "starting": "starting",
    "stopping": "stopping",
    "free": "free",
    "quarantined": "in quarantine",
    "offline": "node offline",
    "withheld": "not offered",
}
_OF_INSTANCE = {"requested": "starting", "ready": "serving", "stopping": "stopping"}
_BUSY = frozenset({"serving", "starting", "stopping"})


@dataclass(frozen=True)
class Cell:
    """A GPU: what it does, for which model, in the colour of that model."""

    uuid: str
    index: int
    node: str
    does: str
    colour: int | None
    model: str
    model_id: str | None
    instance_id: str | None
    since: str
    utilization: float | None
    memory: str
    pinned: bool = False

    @property
    def page(self) -> str:
        """Where more is said of it."""
        return page_of("gpu", self.uuid) or "/"

    @property
    def said(self) -> str:
        """The cell in a sentence, for whoever does not see colours."""
        doing = f"{DOES[self.does]} {self.model}".strip() if self.does in _BUSY else DOES[self.does]
        busy = "" if self.utilization is None else f", {self.utilization:.0f} % busy"
        since = f", since {self.since}" if self.since else ""
        return f"GPU {self.index} of {self.node}: {doing}{since}{busy}"


@dataclass(frozen=True)
class NodeCells:
    """A node and its GPUs in the order of their index."""

    id: str
    name: str
    status: str
    environment_id: str
    cells: Sequence[Cell]
    used: int
    has_more: bool = False

    @property
    def page(self) -> str:
        """Where more is said of it."""
        return page_of("node", self.id) or "/"


@dataclass(frozen=True)
class Share:
    """A part of the fleet: GPUs that do the same."""

    does: str
    name: str
    count: int
    x: float
    width: float


@dataclass(frozen=True)
class Legend:
    """A model's colour, and on how many GPUs it is."""

    name: str
    model_id: str
    colour: int
    count: int

    @property
    def page(self) -> str:
        """Where more is said of it."""
        return page_of("model", self.model_id) or "/"


@dataclass(frozen=True)
class Fleet:
    """All of it."""

    nodes: Sequence[NodeCells] = ()
    shares: Sequence[Share] = ()
    legend: Sequence[Legend] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many GPUs there are."""
        return sum(self.counts.values())

    @property
    def busy(self) -> int:
        """How many have something running on them."""
        return sum(self.counts.get(each, 0) for each in _BUSY)

    @property
    def is_dense(self) -> bool:
        """Whether there are so many that cells carry no words."""
        return self.total > 96  # noqa: PLR2004 (about what a screen holds with words)


def colours(models: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return each model's colour: by registration, so that it stays when others come."""
    ids = sorted(str(each["id"]) for each in models)
    return {id_: place % COLOURS for place, id_ in enumerate(ids)}


def fleet(nodes: Iterable[Mapping[str, Any]], of_model: Mapping[str, int], now: datetime) -> Fleet:
    """Return the map from what /deployments/status says."""
    rows = [_node(each, of_model, now) for each in nodes]
    cells = [cell for row in rows for cell in row.cells]
    counts = Counter(cell.does for cell in cells)
    return Fleet(rows, _shares(counts), _legend(cells), counts)


def cell(
    gpu: Mapping[str, Any], node: Mapping[str, Any], of_model: Mapping[str, int], now: datetime
) -> Cell:
    """Return one GPU's cell."""
    instance = gpu.get("instance") or {}
    model_id = gpu.get("model_id") or instance.get("model_id")
    does = _does(gpu, node, instance)
    held = does in _BUSY
    since = instance.get("started_at") or instance.get("requested_at")
    return Cell(
        uuid=str(gpu["uuid"]),
        index=int(gpu.get("index") or 0),
        node=str(node.get("name") or node.get("node_id") or ""),
        does=does,
        colour=of_model.get(str(model_id)) if held else None,
        model=str(instance.get("model_name") or "") if held else "",
        model_id=model_id if held else None,
        instance_id=gpu.get("instance_id") if held else None,
        since=ago(since, now) if held and since else "",
        utilization=gpu.get("utilization_percent"),
        memory=memory(gpu.get("memory_mb")),
        pinned=bool(instance.get("pinned")),
    )


def _does(gpu: Mapping[str, Any], node: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    state = gpu.get("state")
    if state == "quarantined" or gpu.get("quarantine"):
        return "quarantined"
    if state == "offline" or node.get("status") == "offline":
        return "offline"
    if state == "allocated":
        return _OF_INSTANCE.get(str(instance.get("state")), "serving")
    return "free" if gpu.get("permitted", True) else "withheld"


def _node(node: Mapping[str, Any], of_model: Mapping[str, int], now: datetime) -> NodeCells:
    gpus = sorted(node.get("gpus") or (), key=lambda each: (each.get("index") or 0, each["uuid"]))
    cells = [cell(each, node, of_model, now) for each in gpus]
    return NodeCells(
        id=str(node.get("node_id") or node.get("id")),
        name=str(node.get("name") or node.get("node_id")),
        status=str(node.get("status") or "unknown"),
        environment_id=str(node.get("environment_id") or ""),
        cells=cells,
        used=sum(each.does in _BUSY for each in cells),
    )


def _shares(counts: Mapping[str, int]) -> list[Share]:
    total, x, found = sum(counts.values()), 0.0, []
    for does, name in DOES.items():
        if counts.get(does):
            width = counts[does] / total * 100
            found.append(Share(does, words(name), counts[does], round(x, 3), round(width, 3)))
            x += width
    return found


def _legend(cells: Iterable[Cell]) -> list[Legend]:
    found: dict[str, Legend] = {}
    for each in cells:
        if each.model_id is not None and each.colour is not None:
            before = found[each.model_id].count if each.model_id in found else 0
            found[each.model_id] = Legend(each.model, each.model_id, each.colour, before + 1)
    return sorted(found.values(), key=lambda each: (-each.count, each.name))
