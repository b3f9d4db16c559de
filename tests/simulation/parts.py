"""The services as processes: their own wiring on a simulated bus, killed, frozen and supervised."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from services.alerter import service as alerter
from services.alerter.settings import Settings as AlerterSettings
from services.chassis import metering
from services.chassis.errors import Bug, QuartermasterError
from services.chassis.folding import Folding
from services.chassis.health import Health
from services.chassis.run import Context
from services.deployer import service as deployer
from services.deployer.settings import Settings as DeployerSettings
from services.journal.handlers import Journal
from services.node_monitor import service as node_monitor
from services.node_monitor.settings import Settings as MonitorSettings
from services.queue_sampler import service as queue_sampler
from services.queue_sampler.settings import Settings as SamplerSettings
from services.scheduler import service as scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from tests.simulation.lines import SimProvider
from tests.simulation.loop import PROCESS, Process
from tests.simulation.weather import SimClock, Sky

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.simulation.lines import Lines
    from tests.simulation.load import Load
    from tests.simulation.wire import SimBroker, SimBus, SimLog

FOLLOWERS = (alerter, deployer, node_monitor, queue_sampler, scheduler)
HEARTBEATS_S = 15.0  # a broker drops a connection that was silent for so long
RESTART_S = 1.0

# name of a process: the service it runs
NAMES = {
    "journal-1": "journal",
    "journal-2": "journal",
    "scheduler-1": "scheduler",
    "scheduler-2": "scheduler",
    "deployer-1": "deployer",
    "node_monitor-1": "node_monitor",
    "queue_sampler-1": "queue_sampler",
    "alerter-1": "alerter",
}


class Parts:
    """All services of a control plane, each in a process that a supervisor starts again."""

    def __init__(self, sky: Sky, broker: SimBroker, log: SimLog) -> None:
        self._sky, self._broker, self._log = sky, broker, log
        self._mains = _mains(log)
        self.running: dict[str, tuple[Process, SimBus]] = {}
        self.healths: dict[str, Health] = {}
        self._foldings: dict[Process, Folding] = {}

    def start_all(self) -> None:
        """Start every process."""
        for name in NAMES:
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process."""
        process = Process(name)
        bus = self._broker.bus(NAMES[name])
        self.running[name] = (process, bus)
        self.healths[name] = Health(NAMES[name])
        self._sky.loop.begin(process, self._live(name, bus))

    async def _live(self, name: str, bus: SimBus) -> None:
        """Run a service; when it ends by itself the supervisor starts it again."""
        context = Context(
            NAMES[name],
            SimClock(self._sky, name),
            asyncio.Event(),
            self.healths[name],
            SimpleNamespace(info=_nothing, warning=_nothing, error=_nothing),
        )
        try:
            await self._mains[NAMES[name]](context, bus)
        except Bug as error:
            self._sky.violate(f"{name} found a fault of its own: {error.detail}")
        except QuartermasterError:
            self._sky.happened["gave_up"] += 1
        except Exception as error:  # noqa: BLE001 (whatever it was, it is a finding)
            self._sky.violate(f"{name} broke: {error!r}")
        bus.cut()
        await asyncio.sleep(RESTART_S)
        self.start(name)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Know what every service folds."""
        parts = self

        class Watched(Folding):
            def __init__(self, *given: Any, **more: Any) -> None:
                super().__init__(*given, **more)
                parts._foldings[PROCESS.get()] = self

        with ExitStack() as stack:
            for module in FOLLOWERS:
                stack.enter_context(patch.object(module, "Folding", Watched))
            yield

    def behind(self) -> list[str]:
        """Return which services have not folded the whole log."""
        head = len(self._log.recorded)
        at = {
            name: self._foldings[process].position
            for name, (process, _) in self.running.items()
            if process in self._foldings
        }
        return [f"{name} is at {here} of {head}" for name, here in at.items() if here < head]

    def astray(self) -> list[str]:
        """Return which services hold something else than the fold of the log."""
        found = []
        for name in ("deployer-1", "node_monitor-1"):
            folding = self._foldings[self.running[name][0]]
            state = folding._apply.__self__  # type: ignore[attr-defined]
            fresh = type(state)()
            for event in self._log.recorded[: folding.position]:
                if event.type in state.TYPES:
                    fresh.apply(event)
            if fresh != state:
                found.append(f"the state of {name} is not the fold of the log")
        return found

    def crash(self, name: str) -> None:
        """Kill a process where it stands; the broker sees its connection go."""
        process, bus = self.running[name]
        self._sky.loop.kill(process)
        bus.cut()

    def cut(self, name: str) -> None:
        """Take a process's connection away."""
        self.running[name][1].cut()

    async def pause(self, name: str, seconds: float) -> None:
        """Freeze a process for a while; the broker gives up on it before it wakes."""
        process, bus = self.running[name]
        self._sky.loop.freeze(process)
        await asyncio.sleep(min(seconds, HEARTBEATS_S))
        if seconds > HEARTBEATS_S and not process.dead:
            bus.cut()
        await asyncio.sleep(max(0.0, seconds - HEARTBEATS_S))
        self._sky.loop.thaw(process)


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _mains(log: SimLog) -> dict[str, Callable[[Context, Any], Awaitable[None]]]:
    async def journal(context: Context, bus: Any) -> None:
        await Journal(bus, log, context.clock, context.health.report).run()

    snapshots = {"snapshot_every_events": 0}
    scheduling = SchedulerSettings(**snapshots)
    deploying = DeployerSettings(deploy_ready_within=120.0, deploy_stop_grace=5.0, **snapshots)
    monitoring = MonitorSettings(**snapshots)
    sampling = SamplerSettings(queue_probe=False, queue_sample_interval=15.0, **snapshots)
    alerting = AlerterSettings(**snapshots)
    return {
        "journal": journal,
        "scheduler": lambda context, bus: scheduler.schedule(context, bus, scheduling),
        "deployer": lambda context, bus: deployer.deploy(context, bus, deploying),
        "node_monitor": lambda context, bus: node_monitor.watch(context, bus, monitoring),
        "queue_sampler": lambda context, bus: queue_sampler.sample(context, bus, sampling),
        "alerter": lambda context, bus: alerter.watch(context, bus, alerting),
    }


@contextmanager
def simulated_outside(lines: Lines, load: Load) -> Iterator[None]:
    """Give the services' wirings simulated adapters instead of those that reach outside."""
    providers = {"node_agent": lambda *_, **__: SimProvider(lines)}
    door = SimpleNamespace(close=_closed)
    with ExitStack() as stack:
        for module, name, made in (
            (deployer, "PROVIDERS", providers),
            (node_monitor, "Agents", lambda _: lines),
            (queue_sampler, "ManagementApi", lambda *_, **__: load),
            (queue_sampler, "Revealed", lambda _: _revealed),
            (deployer, "reveal", lambda *_: _revealed(None)),
            (queue_sampler, "PassiveDeclare", lambda *_, **__: load),
            (alerter, "WebhookDoor", lambda *_, **__: door),
            (metering, "_METERING", metering._Metering()),  # the dead take nothing back
            (scheduler, "socket", SimpleNamespace(gethostname=lambda: "sim")),
            (scheduler, "os", SimpleNamespace(getpid=lambda: 1)),
        ):
            stack.enter_context(patch.object(module, name, made))
        yield


async def _closed() -> None:
    pass


async def _revealed(_: Any) -> str:
    return "secret"
