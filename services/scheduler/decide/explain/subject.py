"""What a question is about: found by id, or by the name people use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from contracts.http.explain import Kind
    from services.scheduler.state import State


class Ambiguous(ValueError):
    """Several things have this name; `ids` are theirs."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        super().__init__(f"this name is that of {', '.join(ids)}: ask by id")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about, and where in the log the facts about it stand.

    stream: everything in it is about the subject; None where only `positions` are.
    """

    kind: Kind
    id: str
    positions: tuple[int, ...] = ()
    stream: str | None = None


def find(state: State, kind: Kind, wanted: str) -> Subject | None:
    """Return the subject with an id, or else with a name; None when the state knows neither.

    An instance may have ended long ago: only its stream tells whether there was one.
    A GPU is also found as `node:index`. Raises Ambiguous.
    """
    if kind == "instance":
        return Subject(kind, wanted, stream=f"instance/{wanted}")
    id_ = _id_of(state, kind, wanted)
    if id_ is None:
        return None
    return Subject(kind, id_, tuple(state.memory.of(kind, id_)))


def _id_of(state: State, kind: Kind, wanted: str) -> str | None:
    known: dict[Kind, Container[str]] = {
        "model": state.models,
        "node": state.nodes,
        "gpu": state.gpus,
    }
    if wanted in known[kind] or state.memory.of(kind, wanted):
        return wanted
    if kind == "model":
        return _only(key for key, each in state.models.items() if each.name == wanted)
    if kind == "node":
        return _only(
            key for key, each in state.nodes.items() if each.name == wanted and not each.deleted
        )
    return _gpu_at(state, wanted)


def _gpu_at(state: State, wanted: str) -> str | None:
    node_name, _, index = wanted.rpartition(":")
    node_id = _id_of(state, "node", node_name) if node_name else None
    node = state.nodes.get(node_id or "")
    if node is None:
        return None
    return _only(uuid for uuid in node.gpus if str(state.gpus[uuid].index) == index)


def _only(found: Iterable[str]) -> str | None:
    ids = list(found)
    if len(ids) > 1:
        raise Ambiguous(sorted(ids))
    return ids[0] if ids else None
