"""How long one pass of the scheduler takes: python -m tests.perf.scheduler_pass [NODES MODELS].

Nothing is asserted; it prints median, 99th percentile and worst of each phase of a fleet's life.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from services.scheduler.decide import decide
from services.scheduler.state import State
from tests import builders as b

if TYPE_CHECKING:
    from collections.abc import Callable

GPUS = 8
PASSES = 200


class Bench:
    """A fleet of `nodes` x 8 GPUs and `models`; the log is not kept."""

    def __init__(self, nodes: int, models: int, kinds: int) -> None:
        self.state, self.log, self.models = State(), b.Log(), models
        self.took_ms: list[float] = []
        per_model = max(1, nodes * GPUS // models)
        for k in range(models):
            self.tell(b.a_model(f"m{k:05}", max_instances=2 * per_model, min_instances=1))
        for k in range(nodes):
            mine = (
                ("*",) if kinds == 0 else [f"m{(k * kinds + j) % models:05}" for j in range(kinds)]
            )
            self.tell(*b.a_node(f"n{k:05}", gpus=GPUS, supported=mine))

    def tell(self, *events: object) -> None:
        for event in events:
            self.state.apply(self.log.record(event))  # type: ignore[arg-type]

    def sample(self, length: Callable[[int], int], minutes: int = 6) -> None:
        for _ in range(minutes):
            self.log.wait(60)
            for k in range(self.models):
                self.tell(b.sampled(f"m{k:05}", length(k)))

    def decide(self) -> int:
        """Decide, let everything proposed come true, and return how many proposals there were."""
        gc.disable()  # as the service does
        began = time.perf_counter()
        proposals = decide(self.state, self.log.now, 1)
        self.took_ms.append((time.perf_counter() - began) * 1000)
        gc.enable()
        for drafts in proposals:
            for draft in drafts:
                self.tell(draft)
        for drafts in proposals:
            event = drafts[-1].event
            if isinstance(event, InstanceStartRequested | InstanceStopRequested):
                self._come_true(event)
        return len(proposals)

    def _come_true(self, event: InstanceStartRequested | InstanceStopRequested) -> None:
        start = isinstance(event, InstanceStartRequested)
        where = {
            "model_id": event.model_id,
            "node_id": event.node_id,
            "gpu": int(event.gpu_uuid.rsplit("-", 1)[1]),
        }
        self.tell((b.started if start else b.stopped)(event.instance_id, **where))

    def told(self, title: str, proposals: int) -> None:
        took = sorted(self.took_ms)
        print(
            f"{title:28} passes {len(took):4}  proposals {proposals:6}"
            f"  p50 {took[len(took) // 2]:7.2f} ms  p99 {took[int(len(took) * 0.99)]:7.2f} ms"
            f"  max {took[-1]:7.2f} ms"
        )
        self.took_ms = []

    def until_quiet(self, title: str, most: int = PASSES) -> None:
        gc.freeze()  # as the service does; the log kept here is no part of it
        total = 0
        for _ in range(most):
            proposals = self.decide()
            total += proposals
            if not proposals:
                break
        self.told(title, total)

    def steady(self, title: str) -> None:
        gc.freeze()
        total = 0
        for k in range(PASSES):
            self.tell(b.sampled(f"m{k % self.models:05}", k % 40))
            total += self.decide()
        self.told(title, total)


def main(nodes: int = 1000, models: int = 300) -> None:
    for kinds in (0, 8):
        print(
            f"{nodes} nodes, {nodes * GPUS} GPUs, {models} models;",
            f"each node supports {kinds or 'all'}",
        )
        began = time.perf_counter()
        bench = Bench(nodes, models, kinds)
        print(f"folded {len(bench.log.events)} events in {time.perf_counter() - began:.1f} s")
        bench.until_quiet("floors of an empty fleet")
        bench.sample(lambda k: 20 + k % 50 if k % 2 else 0)
        bench.until_quiet("half of the models are busy")
        bench.steady("one sample between passes")
        bench.sample(lambda _: 5000)
        bench.until_quiet("all busy, until full")
        bench.sample(lambda k: 5000 if k % 2 else 0)
        bench.steady("full: nobody gets more")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
