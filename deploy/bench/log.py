"""`just bench log`: the journal end to end, its appender against others, features' prices."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from deploy.bench import travelling
from deploy.bench.appending import (
    BATCH,
    BATCH_CALLERS,
    SINGLE_CALLERS,
    Case,
    compare,
    sample_queues,
)
from deploy.bench.engines import fresh_engines, service
from deploy.bench.table import last_line, middle, percentile, show
from deploy.bench.travelling import Journey, Urls
from deploy.local.engines import Engines
from services.chassis.database import connect_pool

ROUNDS = 5
BATCHED_EVENTS = 30_000
SINGLES_PER_S, SINGLES_S = 1_000, 10.0
SAMPLED_MODELS, SAMPLES = 300, 100


def main(_: Sequence[str]) -> None:
    """Measure everything and print it."""
    with fresh_engines() as engines:
        say("appenders, in shuffled rounds")
        cases = asyncio.run(compare(engines, ROUNDS))
        show_appenders(cases)
    with fresh_engines() as engines, service("journal", engines.urls("journal")):
        say("journeys: proposed, recorded, published, received")
        journeys = travel(engines)
        show_journeys(journeys)
        say("projector")
        projected = asyncio.run(project(engines))
    print(f"projector: {projected:,.0f} events/s\n")
    last_line(results(cases, journeys, projected))


def say(what: str) -> None:
    """Tell what is measured now."""
    print(f"... {what}", file=sys.stderr, flush=True)


def travel(engines: Engines) -> dict[str, Journey]:
    """Run the journeys; each follower first reads what the ones before it left as history."""
    urls = Urls(engines.amqp_url("gateway"), engines.amqp_url("scheduler"))
    warm_up = 2_000
    travelling.journey(urls, warm_up, travelling.propose_batches, warm_up)
    count = int(SINGLES_PER_S * SINGLES_S)
    pace = (SINGLES_PER_S, SINGLES_S)
    return {
        "batched": travelling.journey(
            urls, BATCHED_EVENTS, travelling.propose_batches, BATCHED_EVENTS
        ),
        "again": travelling.journey(
            urls, BATCHED_EVENTS, travelling.propose_batches, BATCHED_EVENTS
        ),
        "single": travelling.journey(urls, count, travelling.propose_singles, *pace),
    }


async def project(engines: Engines) -> float:
    """Return how many events the projector folds per second: the journeys', and queue samples."""
    from services.projector.service import project_all  # noqa: PLC0415 (imports a whole service)

    await sample_queues(engines.urls("journal")["QM_DATABASE_URL"], SAMPLED_MODELS, SAMPLES)
    database = await connect_pool(
        engines.urls("projector")["QM_DATABASE_URL"], service="projector", min_size=1, max_size=3
    )
    begun = time.perf_counter()
    events = await project_all(database)
    took = time.perf_counter() - begun
    await database.close()
    return events / took


def of(cases: Sequence[Case], name: str, callers: int) -> Case:
    """Return one case."""
    return next(case for case in cases if case.name == name and case.callers == callers)


def ratio(one: Case, other: Case) -> float:
    """Return the median of the ratios of each round."""
    return middle([a / b for a, b in zip(one.rates, other.rates, strict=True)])


def show_appenders(cases: Sequence[Case]) -> None:
    """Print the appenders, each beside ours with as many callers."""
    rows = []
    for case in cases:
        ours = of(cases, "journal's appender", case.callers)
        rows.append(
            (f"{case.name}, {case.callers} x {case.batch}", middle(case.rates), ratio(case, ours))
        )
    show("Appenders, 500-byte events, durable", ("case", "events/s", "to ours"), rows)


def show_journeys(journeys: dict[str, Journey]) -> None:
    """Print the journeys."""
    single = journeys["single"].ways_s
    rows: list[tuple[str, float]] = [
        ("end to end, proposals of 100 (events/s)", end_to_end(journeys)),
        ("history over RabbitMQ (events/s)", journeys["single"].history_per_s),
        ("proposed to received, 1,000 singles/s, p50 (ms)", percentile(single, 50) * 1000),
        ("proposed to received, 1,000 singles/s, p99 (ms)", percentile(single, 99) * 1000),
    ]
    show("The journal as a service", ("case", "measured"), rows)


def end_to_end(journeys: dict[str, Journey]) -> float:
    """Return the better of two runs: the other one shared the machine with its neighbours."""
    return max(journeys["batched"].events_per_s, journeys["again"].events_per_s)


def results(
    cases: Sequence[Case], journeys: dict[str, Journey], projected: float
) -> dict[str, float]:
    """Return the last line."""
    batch, single = (BATCH_CALLERS, SINGLE_CALLERS)
    ours = of(cases, "journal's appender", batch)
    ways = journeys["single"].ways_s
    numbers = {
        "append_ratio_b100_w4": ratio(ours, of(cases, "eventsourcing", batch)),
        "append_ratio_single_128": ratio(
            of(cases, "journal's appender", single), of(cases, "eventsourcing", single)
        ),
        "copy_ratio": ratio(ours, of(cases, "plain COPY", batch)),
        "chain_price": ratio(of(cases, "without the chain", batch), ours),
        "validation_price": ratio(ours, of(cases, "with validation", batch)),
        "telemetry_price": ratio(ours, of(cases, "telemetry table", batch)),
        "append_events_per_s": middle(ours.rates),
        "end_to_end_events_per_s": end_to_end(journeys),
        "latency_p50_ms": percentile(ways, 50) * 1000,
        "latency_p99_ms": percentile(ways, 99) * 1000,
        "history_events_per_s": journeys["single"].history_per_s,
        "projector_events_per_s": projected,
    }
    return {name: round(number, 2) for name, number in numbers.items()} | {"batch": BATCH}
