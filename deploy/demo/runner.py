"""One run of the demo, from nothing to its report."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx2
import psutil

from deploy.demo import checks, fleet
from deploy.demo.arguments import Arguments
from deploy.demo.client import Gateway, Query
from deploy.demo.load import Load, Source
from deploy.demo.messages import queue_of
from deploy.demo.report import Report, waits_of
from deploy.demo.show import Show, picture
from deploy.demo.view import Progress
from deploy.demo.watch import Watch, floor_is_met
from deploy.local.engines import Engines
from deploy.local.platform import Platform
from deploy.rabbitmq.permissions import MODELS_VHOST
from services.chassis.errors import QuartermasterError
from services.chassis.ports import Bus

MODELS_USER = "models"
LOOK_S = 0.5
SETTLE_LOOK_S = 0.1
PATIENCE_S = 15.0
STALLED_S = 120.0  # after the last publish, without a result: what is left is lost
SETTLE_S = 15.0
STATISTICS_S = 1.5  # the broker's own counts are this late


@dataclass
class Run:
    """Everything one run holds."""

    arguments: Arguments
    source: Source
    platform: Platform
    show: Show
    begun: float
    ready_s: float = 0.0
    interrupted: bool = False
    refused: int = 0
    refused_because: str = ""

    async def __call__(self) -> Report:
        """Start the platform, put the load on it, report, and stop what was started."""
        try:
            engines = await self.platform.start()
            load = Load(self.source, self._models_url(engines), self.arguments.speed)
            await asyncio.gather(self.platform.ready(), load.publisher.declare([*load.models]))
            await self._create(engines, load)
            await self._first_instances(load)
            self.ready_s = time.time() - psutil.Process().create_time()
            self.show.say(f"ready after {self.ready_s:.1f} s at {self.platform.gateway_url}")
            self.show.say(f"console at {self.platform.console_url}")
            return await self._under_load(engines, load)
        finally:
            self.show.close()
            self.show.say("stopping")
            await self.platform.stop()

    def _models_url(self, engines: Engines) -> str:
        return engines.amqp_url(MODELS_USER, MODELS_VHOST)

    async def _create(self, engines: Engines, load: Load) -> None:
        broker = fleet.Broker(
            host=engines.amqp_host,
            management_port=engines.management_port,
            amqp_port=engines.amqp_port,
            vhost=MODELS_VHOST,
            username=MODELS_USER,
            password=engines.credentials.broker[MODELS_USER],
        )
        gateway = Gateway(self.platform.gateway_url, self.platform.api_token, self.platform.api)
        try:
            nodes = self.platform.nodes
            await fleet.create(gateway, nodes, load.models, self.arguments.speed, broker)
        finally:
            await gateway.close()

    async def _first_instances(self, load: Load) -> None:
        """Wait until every model has what it must have, but not for ever."""
        query = Query(self.platform.query_url, PATIENCE_S)
        try:
            met = await _settled(query, len(load.models), SETTLE_S)
        finally:
            await query.close()
        if met < len(load.models):
            self.show.say(f"{len(load.models) - met} models have no instance yet")

    async def _under_load(self, engines: Engines, load: Load) -> Report:
        query = Query(self.platform.query_url)
        patient = Query(self.platform.query_url, PATIENCE_S)
        of_demo = await checks.connect(engines)
        working = [asyncio.create_task(load.publish()), asyncio.create_task(load.collector.run())]
        try:
            self.refused, self.refused_because = await checks.propose_nonsense(of_demo)
            await self._watch(load, Watch(query), working)
            return await self._report(engines, load, patient, of_demo)
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(query.close(), patient.close())
            with suppress(QuartermasterError):
                await of_demo.close()

    async def _watch(self, load: Load, watch: Watch, working: list[asyncio.Task[None]]) -> None:
        """Show the run until every request is served, nothing moves any more, or Ctrl-C."""
        progressed, served = time.monotonic(), -1
        try:
            while not load.done:
                _raise_failed(working)
                progress = await self._look(load, watch)
                if progress.served > served or not load.all_published:
                    progressed, served = time.monotonic(), progress.served
                elif time.monotonic() - progressed > STALLED_S:
                    self.show.say(f"nothing was served for {STALLED_S:.0f} s: giving up")
                    return
                await asyncio.sleep(LOOK_S)
            await self._look(load, watch)
        except asyncio.CancelledError:
            self.interrupted = True
            _forget_cancelling()
            working[0].cancel()
            self.show.say("interrupted: writing the report, then stopping")

    async def _look(self, load: Load, watch: Watch) -> Progress:
        """Show the fleet as it is now; draw it once, in the middle of the run, if asked to."""
        view = await watch.look(load.by_model())
        progress = load.progress(self.begun, self.platform.gateway_url, self.show.notes)
        self.show.update(view, progress)
        if self.arguments.picture and progress.served * 2 >= len(load.source.window):
            picture(view, replace(progress, notes=()), self.arguments.picture)
            self.arguments = replace(self.arguments, picture=None)
        return progress

    async def _report(self, engines: Engines, load: Load, query: Query, of_demo: Bus) -> Report:
        settle_s = 0.0 if self.interrupted else SETTLE_S
        met = await _settled(query, len(load.models), settle_s)
        lost = len(load.unserved())
        if lost and self.interrupted:  # what is still in a queue is not lost
            await asyncio.sleep(STATISTICS_S)
            lost = max(
                0, len(load.unserved()) - await checks.depth(engines, MODELS_VHOST, queue_of(""))
            )
        instances = [row async for row in query.all("/instances")]
        verified = await checks.verify_log(of_demo)
        waits = waits_of(load.collector.served.values(), load.speed)
        served = load.by_model()
        return Report(
            ready_s=round(self.ready_s, 2),
            requests_published=len(load.publisher.published),
            requests_served=len(load.collector.served),
            requests_lost=lost,
            requests_repeated=load.collector.repeated.total(),
            wait_p50_s=waits.p50,
            wait_p95_s=waits.p95,
            wait_mean_s=waits.mean,
            instances_started=sum(1 for row in instances if row["started_at"]),
            instances_replaced=sum(1 for row in instances if row["replaced_by"]),
            events_recorded=(await query.one("/status"))["head"],
            refused_bad_proposal=self.refused,
            refused_because=self.refused_because,
            parked_others=await checks.parked(engines),
            log_verified=verified.ok,
            log_checked=verified.checked,
            models=len(load.models),
            models_floor_met=met,
            speed=load.speed,
            trace=load.source.name,
            trace_s=load.source.window[-1].at_s,
            run_s=round(time.monotonic() - self.begun, 1),
            restarts=dict(self.platform.supervisor.restarts),
            served_by_model={model: row.served for model, row in served.items()},
            interrupted=self.interrupted,
        )


async def _settled(query: Query, models: int, patience_s: float) -> int:
    """Return how many models have their floor met, once all have or patience ends."""
    until = time.monotonic() + patience_s
    while True:
        met = 0
        with suppress(httpx2.HTTPError):
            met = sum(floor_is_met(row) for row in await query.some("/models"))
        if met >= models or time.monotonic() > until:
            return met
        await asyncio.sleep(SETTLE_LOOK_S)


def _raise_failed(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()):
            raise error


def _forget_cancelling() -> None:
    """Go on after a cancellation that was understood as the wish to end in good order."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
