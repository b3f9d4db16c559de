"""Explanations: why of models, instances, nodes and GPUs, through the gateway, now and then.

For `just bench memory`: `measure` wants the URL of a gateway, a token that may read, and what to
ask about (`ids_of` finds it). Its platform should be at work: an idle one has little to explain.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from deploy.bench.table import percentile

ASKED, WARM_UP = 600, 8
POINTS = 12  # moments of the past that somebody looks at, spread over the history
KINDS = {"model": "/models", "instance": "/instances", "node": "/nodes", "gpu": "/gpus"}
MOST_IDS = 200
_NAMES = {"model": "model_id", "instance": "instance_id", "node": "node_id", "gpu": "uuid"}
_TIMEOUT_S = 30.0
PATIENCE_S = 120.0  # a state of long ago is folded meanwhile; the asking again counts as waiting
_NOT_YET = 503
_NOT_THERE = 404

Ids = Mapping[str, Sequence[str]]


@dataclass
class Cost:
    """How long explanations of one kind took (ms).

    now: of the fleet as it is. first: the first one at a point of the past, whose state has to be
    found; then: the others at such a point. tried: how often it was decided again, at most.
    """

    now: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    then: list[float] = field(default_factory=list)
    tried: int = 0


def ids_of(gateway_url: str, token: str) -> dict[str, list[str]]:
    """Return what a platform has of each kind, by id: ended instances, too."""
    with _client(gateway_url, token) as client:
        return {
            kind: [row[_NAMES[kind]] for row in _listed(client, path)]
            for kind, path in KINDS.items()
        }


def measure(gateway_url: str, token: str, ids: Ids, *, asked: int = ASKED) -> dict[str, Cost]:
    """Return what explanations cost, by kind: of `asked`, half are of now and half of the past.

    Kinds and points of the past take turns; what was not there yet at a point is not counted.
    """
    chance = random.Random(7)  # noqa: S311 (an order, not a secret)
    kinds = [kind for kind in KINDS if ids.get(kind)]
    costs = {kind: Cost() for kind in kinds}
    with _client(gateway_url, token) as client:
        trial = _Trial(client, ids, chance)
        for number in range(WARM_UP):
            trial.ask(kinds[number % len(kinds)], None)
        for number in range(asked // 2):
            kind = kinds[number % len(kinds)]
            cost = costs[kind]
            _note(cost, cost.now, trial.ask(kind, None))
        points = trial.points()
        each = max(len(kinds), asked // 2 // len(points))
        for point in points:
            for number in range(each):
                kind = kinds[number % len(kinds)]
                cost = costs[kind]
                _note(cost, cost.then if number else cost.first, trial.ask(kind, point))
    return costs


def numbers(costs: Mapping[str, Cost]) -> dict[str, float]:
    """Return medians and 99th percentiles over all kinds (ms), for the last line."""
    now = [took for cost in costs.values() for took in cost.now]
    then = [took for cost in costs.values() for took in cost.then]
    first = [took for cost in costs.values() for took in cost.first]
    return {
        "explain_asked": len(now) + len(then) + len(first),
        "explain_p50_ms": round(percentile(now, 50), 2),
        "explain_p99_ms": round(percentile(now, 99), 2),
        "explain_as_of_p50_ms": round(percentile(then, 50), 2),
        "explain_as_of_p99_ms": round(percentile(then, 99), 2),
        "explain_first_at_a_point_p50_ms": round(percentile(first, 50), 2),
        "explain_first_at_a_point_worst_ms": round(max(first), 2),
    }


COLUMNS = ("kind", "tries", "now p50", "now p99", "as_of p50", "as_of p99", "worst ms")


def rows(costs: Mapping[str, Cost]) -> list[tuple[str, float, float, float, float, float, float]]:
    """Return a row for each kind, under COLUMNS; the first ones at a point only in the worst."""
    return [
        (
            kind,
            cost.tried,
            percentile(cost.now, 50),
            percentile(cost.now, 99),
            percentile(cost.then, 50),
            percentile(cost.then, 99),
            max(cost.now + cost.first + cost.then),
        )
        for kind, cost in costs.items()
    ]


@dataclass(frozen=True, slots=True)
class _Answer:
    """How long one took (ms), and how often it was decided again; None: it was not there yet."""

    took: float
    tried: int | None


def _note(cost: Cost, times: list[float], answer: _Answer) -> None:
    """Keep what an explanation took; the first at a point finds the state, whatever it says."""
    if answer.tried is not None or times is cost.first:
        times.append(answer.took)
        cost.tried = max(cost.tried, answer.tried or 0)


class _Trial:
    """Asks, one after the other, as a person does."""

    def __init__(self, client: httpx2.Client, ids: Ids, chance: random.Random) -> None:
        self._client, self._ids, self._chance = client, ids, chance
        self._head = 0

    def points(self) -> list[int]:
        """Return positions spread over the history, in no order."""
        found = [1 + self._head * part // (POINTS + 1) for part in range(1, POINTS + 1)]
        self._chance.shuffle(found)
        return found

    def ask(self, kind: str, as_of: int | None) -> _Answer:
        """Ask why of something of a kind."""
        id_ = self._chance.choice(self._ids[kind])
        parameters = {} if as_of is None else {"as_of": as_of}
        begun = time.perf_counter()
        answer = self._client.get(f"/explain/{kind}/{id_}", params=parameters)
        while answer.status_code == _NOT_YET and time.perf_counter() - begun < PATIENCE_S:
            answer = self._client.get(f"/explain/{kind}/{id_}", params=parameters)
        took = (time.perf_counter() - begun) * 1000
        if as_of is not None and answer.status_code == _NOT_THERE:
            return _Answer(took, None)
        answer.raise_for_status()
        found = answer.json()["data"]
        self._head = max(self._head, found["position"])
        return _Answer(took, found["tried"])


def _client(gateway_url: str, token: str) -> httpx2.Client:
    return httpx2.Client(
        base_url=f"{gateway_url.rstrip('/')}/api/v1",
        headers={"authorization": f"Bearer {token}"},
        timeout=_TIMEOUT_S,
        trust_env=False,
    )


def _listed(client: httpx2.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path, params={"limit": MOST_IDS})
    answer.raise_for_status()
    return list(answer.json()["data"]["items"])
