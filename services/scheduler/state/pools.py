"""The index of free GPUs: nodes that support the same models share a pool, ranked by free GPUs."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.scheduler.state.entities import ANY_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.scheduler.state.entities import Node

Rank = tuple[int, str]


def rank_of(node_id: str, free: int) -> Rank:
    """Return a node's place in its pool: most free GPUs first, then by id."""
    return (-free, node_id)


def rerank(ranked: list[Rank], node_id: str, before: int, after: int) -> None:
    """Move a node to its new place in a ranked list; a node without a free GPU is not in it."""
    if before:
        del ranked[bisect_left(ranked, rank_of(node_id, before))]
    if after:
        insort(ranked, rank_of(node_id, after))


@dataclass(slots=True)
class Pool:
    """The nodes that support exactly these models; their GPUs counted by why they are not free."""

    supported: tuple[str, ...]
    ranked: list[Rank] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Pools:
    """All pools, and by model name those that support it and those of them with a free GPU."""

    by_support: dict[tuple[str, ...], Pool] = field(default_factory=dict)
    by_name: dict[str, dict[tuple[str, ...], None]] = field(default_factory=dict)
    open_by_name: dict[str, dict[tuple[str, ...], None]] = field(default_factory=dict)

    def of(self, node: Node) -> Pool:
        """Return a node's pool, made when it is the first of its kind."""
        pool = self.by_support.get(node.supported)
        if pool is None:
            pool = self.by_support[node.supported] = Pool(node.supported)
            for name in node.supported:
                self.by_name.setdefault(name, {})[node.supported] = None
        return pool

    def supporting(self, model_name: str) -> Iterator[Pool]:
        """Yield the pools whose nodes support a model, those naming it first."""
        for name in (model_name, ANY_MODEL):
            for support in self.by_name.get(name, {}):
                if name == model_name or model_name not in support:
                    yield self.by_support[support]

    def count(self, node: Node, cause: str | None, by: int) -> None:
        """Count a GPU of a node in or out under a cause."""
        if cause is not None:
            causes = self.of(node).causes
            causes[cause] = causes.get(cause, 0) + by

    def move(self, node: Node, before: int, after: int) -> None:
        """Take note that a node had so many free GPUs and has so many now."""
        pool = self.of(node)
        was_open = bool(pool.ranked)
        rerank(pool.ranked, node.node_id, before, after)
        if was_open == bool(pool.ranked):
            return
        for name in pool.supported:
            opened = self.open_by_name.setdefault(name, {})
            if pool.ranked:
                opened[pool.supported] = None
            else:
                del opened[pool.supported]
