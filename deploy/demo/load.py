"""The load of one run: which requests, and how far they are."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.demo import generator, trace
from deploy.demo.arguments import GENERATED, TRACE, Arguments
from deploy.demo.collector import Collector
from deploy.demo.publisher import Publisher
from deploy.demo.report import waits_of
from deploy.demo.trace import Request
from deploy.demo.view import Progress
from deploy.demo.watch import Served
from deploy.local.platform import ROOT

ENDLESS_WINDOW = 400
BETWEEN_ROUNDS_S = 60.0


@dataclass(frozen=True)
class Source:
    """The requests of a run and where they are from; endless repeats the window for ever.

    models: mean execution time (trace seconds) by name, of all that is known of each.
    """

    name: str
    window: list[Request]
    models: Mapping[str, float]
    endless: bool

    @property
    def requests(self) -> Iterable[Request]:
        """The requests in order of arrival."""
        return trace.rounds(self.window, BETWEEN_ROUNDS_S) if self.endless else self.window


def source_of(arguments: Arguments) -> Source:
    """Return the real trace where it is, the generated load else; raises DemoError."""
    count = arguments.requests or ENDLESS_WINDOW
    folder = ROOT / arguments.trace
    absent = arguments.trace == TRACE and not (folder / trace.FILE).exists()
    if arguments.trace == GENERATED or absent:
        name, models = f"generated, seed {arguments.seed}", generator.mean_exec_s()
        window = generator.generate(count, arguments.seed)
    else:
        known = trace.load(folder)
        name, models, window = folder.name, trace.mean_exec_s(known), trace.densest(known, count)
    return Source(name, window, models, endless=arguments.requests == 0)


class Load:
    """Requests on their way, counted by id."""

    def __init__(self, source: Source, url: str, speed: float) -> None:
        self.source, self.speed = source, speed
        self.publisher, self.collector = Publisher(url, speed), Collector(url)
        self.models = source.models
        self.all_published = False

    async def publish(self) -> None:
        """Publish every request when its time comes."""
        await self.publisher.run(self.source.requests)
        self.all_published = True

    @property
    def done(self) -> bool:
        """Whether every request was published and served."""
        return self.all_published and not self.unserved()

    def unserved(self) -> list[str]:
        """Return the ids that were published and have no result yet."""
        served = self.collector.served
        return [request for request in self.publisher.published if request not in served]

    def by_model(self) -> Mapping[str, Served]:
        """Return how far each model's requests are."""
        results = list(self.collector.served.values())
        published = list(self.publisher.published.values())
        return {
            model: Served(
                published=published.count(model),
                served=sum(1 for result in results if result.model == model),
                wait_p50_s=waits_of((r for r in results if r.model == model), self.speed).p50,
            )
            for model in self.models
        }

    def progress(self, begun: float, url: str, notes: Iterable[str]) -> Progress:
        """Return how far the run is; begun: the monotonic time at which it started."""
        waits = waits_of(self.collector.served.values(), self.speed)
        return Progress(
            elapsed_s=time.monotonic() - begun,
            wanted=0 if self.source.endless else len(self.source.window),
            published=len(self.publisher.published),
            served=len(self.collector.served),
            repeated=self.collector.repeated.total(),
            speed=self.speed,
            wait_p50_s=waits.p50,
            wait_p95_s=waits.p95,
            notes=tuple(notes),
            url=url,
        )
