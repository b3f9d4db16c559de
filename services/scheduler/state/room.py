"""What is free, seen by one pass: the index of free GPUs, less what the pass already took."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.scheduler.state.entities import ANY_MODEL
from services.scheduler.state.pools import rerank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.scheduler.state.entities import Gpu, Node
    from services.scheduler.state.fleet import Fleet
    from services.scheduler.state.pools import Pool, Rank

LOOK_AHEAD = 16  # pools, and nodes of a pool, that are compared before one is chosen
Support = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """A free GPU on a node that can serve; `free` counts all free GPUs of that node."""

    node: Node
    gpu: Gpu
    free: int
    demerits: int = 0


@dataclass
class Room:
    """Free GPUs as copies on write: the state's own lists are never touched."""

    fleet: Fleet
    ranked: dict[Support, list[Rank]] = field(default_factory=dict)
    free: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    open: dict[str, dict[Support, None]] = field(default_factory=dict)
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)

    def spots(self, model_name: str, demerits: Callable[[Node], int | None]) -> list[Spot]:
        """Return places for a model, best first; `demerits` of None rule a node out.

        Fewest demerits, then most free GPUs on the node (a node's loss takes the fewest
        instances with it), then node id; the GPU with the lowest index. Of each pool the best
        node counts, and at most LOOK_AHEAD pools are compared.
        """
        found: list[Spot] = []
        for support in self._open_for(model_name):
            found.extend(self._best_of(support, demerits))
            if len(found) >= LOOK_AHEAD:
                break
        return sorted(found, key=lambda spot: (spot.demerits, -spot.free, spot.node.node_id))

    def free_on(self, node: Node) -> list[Gpu]:
        """Return a node's free GPUs by index."""
        return [self.fleet.gpus[uuid] for _, uuid in self._free_of(node)]

    def has_any(self, model_name: str) -> bool:
        """Return whether any GPU that a model could use is free."""
        return next(self._open_for(model_name), None) is not None

    def take(self, gpu: Gpu) -> None:
        """Take note that this pass gave a GPU away."""
        node = self.fleet.nodes[gpu.node_id]
        free = self._free_of(node)
        del free[bisect_left(free, (gpu.index, gpu.uuid))]
        rerank(self._ranked_of(node.supported), node.node_id, len(free) + 1, len(free))

    def give_back(self, gpu: Gpu) -> None:
        """Take note that this pass freed a GPU that nothing else speaks against."""
        node = self.fleet.nodes[gpu.node_id]
        free = self._free_of(node)
        insort(free, (gpu.index, gpu.uuid))
        rerank(self._ranked_of(node.supported), node.node_id, len(free) - 1, len(free))
        for name in node.supported:
            self._opened(name)[node.supported] = None

    def causes(self, model_name: str) -> dict[str, int]:
        """Return the GPUs of nodes that support a model, counted by why they are not free."""
        if model_name not in self.rejected:
            counts: dict[str, int] = {}
            for pool in self.fleet.pools.supporting(model_name):
                self._add(counts, pool)
            self.rejected[model_name] = dict(sorted(counts.items()))
        return self.rejected[model_name]

    def _add(self, counts: dict[str, int], pool: Pool) -> None:
        for cause, count in pool.causes.items():
            if count:
                counts[cause] = counts.get(cause, 0) + count

    def _open_for(self, model_name: str) -> Iterator[Support]:
        """Yield the pools that still have a free GPU for a model; forget those that have none."""
        for name in (model_name, ANY_MODEL):
            opened = self._opened(name)
            for support in list(opened):
                if not self._ranked_of(support):
                    del opened[support]
                elif name == model_name or model_name not in support:
                    yield support

    def _best_of(self, support: Support, demerits: Callable[[Node], int | None]) -> Iterator[Spot]:
        """Yield the nodes of a pool up to the first without demerits."""
        seen = 0
        for _, node_id in self._ranked_of(support):
            node = self.fleet.nodes[node_id]
            against = demerits(node)
            if against is None:
                continue
            free = self._free_of(node)
            yield Spot(node, self.fleet.gpus[free[0][1]], len(free), against)
            seen += 1
            if against == 0 or seen >= LOOK_AHEAD:
                return

    def _opened(self, name: str) -> dict[Support, None]:
        if name not in self.open:
            self.open[name] = dict(self.fleet.pools.open_by_name.get(name, {}))
        return self.open[name]

    def _ranked_of(self, support: Support) -> list[Rank]:
        if support not in self.ranked:
            self.ranked[support] = list(self.fleet.pools.by_support[support].ranked)
        return self.ranked[support]

    def _free_of(self, node: Node) -> list[tuple[int, str]]:
        if node.node_id not in self.free:
            self.free[node.node_id] = list(node.free)
        return self.free[node.node_id]
