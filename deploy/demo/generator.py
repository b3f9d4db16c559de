"""A built-in load of the same form as the trace: seeded, so the same every time."""

import math
import random
from dataclasses import dataclass

from deploy.demo.trace import Request

BURST_MEAN = 4.0  # people come back at once: requests of one model arrive in runs
BETWEEN_BURSTS_S = 68.0
IN_A_BURST_S = 12.0
SPREAD = 0.5  # sigma of the logarithm of execution times


@dataclass(frozen=True, slots=True)
class Kind:
    """A model of the generated load: its share of the bursts, and its median execution time."""

    name: str
    share: float
    exec_s: float


KINDS = (
    Kind("sdxl-base", 0.40, 18.0),
    Kind("sdxl-portrait", 0.24, 45.0),
    Kind("sd15-anime", 0.11, 20.0),
    Kind("sd15-photo", 0.09, 60.0),
    Kind("sdxl-turbo", 0.08, 22.0),
    Kind("flux-dev", 0.08, 28.0),
)


def generate(count: int, seed: int) -> list[Request]:
    """Return `count` requests in order of arrival, the first one at 0 s."""
    chance = random.Random(seed)  # noqa: S311 (a load, not a secret)
    drawn: list[tuple[float, str, float]] = []
    begin_s = 0.0
    while len(drawn) < count * 2:  # bursts overlap: the earliest half is complete
        drawn.extend(_burst(chance, begin_s))
        begin_s += chance.expovariate(1 / BETWEEN_BURSTS_S)
    earliest = sorted(drawn)[:count]
    return [
        Request(f"generated-{n}", model, at_s - earliest[0][0], exec_s)
        for n, (at_s, model, exec_s) in enumerate(earliest)
    ]


def mean_exec_s() -> dict[str, float]:
    """Return each model's mean execution time (s): of a log-normal, median x exp(sigma^2 / 2)."""
    return {kind.name: kind.exec_s * math.exp(SPREAD**2 / 2) for kind in KINDS}


def _burst(chance: random.Random, begin_s: float) -> list[tuple[float, str, float]]:
    kind = chance.choices(KINDS, [kind.share for kind in KINDS])[0]
    length = 1 + int(chance.expovariate(1 / (BURST_MEAN - 1)))
    at_s, requests = begin_s, []
    for _ in range(length):
        exec_s = max(1.0, round(kind.exec_s * chance.lognormvariate(0.0, SPREAD), 1))
        requests.append((round(at_s, 1), kind.name, exec_s))
        at_s += chance.expovariate(1 / IN_A_BURST_S)
    return requests
