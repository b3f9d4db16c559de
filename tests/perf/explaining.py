"""How long an explanation takes: python -m tests.perf.explaining [NODES MODELS].

Nothing is asserted; it prints median, 99th percentile and worst of whole answers, of their
copies of the fleet, and of the slices between which a decision may be taken; of this thread
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

from services.scheduler.decide.explain import explain
from services.scheduler.decide.explain.subject import find
from services.scheduler.decide.explain.view import View
from services.scheduler.state.fork import still
from tests.perf.scheduler_pass import Bench

if TYPE_CHECKING:
    from contracts.http.explain import Kind


def told(name: str, took_ms: list[float]) -> None:
    ordered = sorted(took_ms)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    middle = ordered[len(ordered) // 2]
    print(
        f"{name:30} n {len(ordered):5}  p50 {middle:7.2f}  p99 {p99:7.2f}  max {ordered[-1]:7.2f}"
    )


def asked(bench: Bench, kind: Kind, ids: list[str]) -> None:
    whole: list[float] = []
    copies: list[float] = []
    slices: list[float] = []
    tried = 0
    facts = {fact.position: fact for fact in bench.log.events}
    streams: dict[str, list[int]] = {}
    for fact in bench.log.events:
        streams.setdefault(fact.stream, []).append(fact.position)
    for id_ in ids:
        subject = find(bench.state, kind, id_)
        assert subject is not None
        places = sorted({*subject.positions, *streams.get(subject.stream or "", ())})
        gc.disable()  # as the service does
        began = time.thread_time()
        state = still(bench.state)
        copies.append((time.thread_time() - began) * 1000)
        known = [facts[place] for place in places]
        steps = explain(View(state, state.position, bench.log.now, subject, known))
        while True:
            before = time.thread_time()
            try:
                next(steps)
            except StopIteration as done:
                tried = max(tried, done.value.tried)
                break
            finally:
                slices.append((time.thread_time() - before) * 1000)
        whole.append((time.thread_time() - began) * 1000)
        gc.enable()
    told(f"{kind}, {tried} tries at most", whole)
    told("  copy of the fleet", copies)
    told("  a slice", slices)


def main(nodes: int = 50, models: int = 300) -> None:
    for kinds in (0, 8):
        supported = "all" if kinds == 0 else f"{kinds}"
        print(f"{nodes} nodes, {nodes * 8} GPUs, {models} models; each node supports {supported}")
        bench = Bench(nodes, models, kinds)
        for length in (0, 40):
            bench.sample(lambda k, length=length: length * (k % 2) + k % 3)  # type: ignore[misc]
            for _ in range(4):
                bench.decide()
        few = slice(None, None, max(1, models // 60))
        asked(bench, "model", list(bench.state.models)[few])
        asked(bench, "instance", list(bench.state.instances)[few])
        asked(bench, "gpu", list(bench.state.gpus)[few])
        asked(bench, "node", list(bench.state.nodes))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
