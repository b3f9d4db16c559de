"""Ask every node in a task of its own, and record what its answers and its silence mean."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from contracts.envelope import Draft, Lease
from services.chassis import metering
from services.chassis.errors import Bug, Fenced, QuartermasterError, Unavailable
from services.chassis.supervision import Together
from services.node_monitor import decide
from services.node_monitor.state import State, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from contracts.http.agent import InstanceAnswer, NodeStatus
    from contracts.types import GpuUse
    from services.chassis.clock import Clock
    from services.chassis.leadership import Term
    from services.chassis.proposer import Accepted

log = structlog.get_logger(__name__)

LAUNCH_GAP_S = 0.005  # a thousand first questions are spread over five seconds
CHANGE_GAP_S = 0.25  # an agent that changes all the time is asked four times a second at most
REACH_S = 60.0
MB = 1024 * 1024


class Agent(Protocol):
    """One node's agent; every method raises a QuartermasterError when there is no good answer."""

    async def status(self, since: int | None = None, wait_s: float = 0.0) -> NodeStatus:
        """Return everything about the node."""

    async def instance(self, instance_id: str, wait_s: float = 0.0) -> InstanceAnswer:
        """Return how an instance is."""

    async def close(self) -> None:
        """Close the connections."""


class Agents(Protocol):
    """Where agents are found."""

    def connect(self, url: str) -> Agent:
        """Return a client of the agent there."""


class Log(Protocol):
    """The folded log."""

    @property
    def position(self) -> int:
        """Return the position everything is folded through."""

    def now(self) -> datetime:
        """Return the log's time."""

    async def changed(self, timeout_s: float) -> bool:
        """Return once anything was folded since the last call."""

    async def reach(self, position: int, timeout_s: float = 10.0) -> None:
        """Return when everything through `position` is folded."""


class Recorder(Protocol):
    """The way into the log."""

    async def propose_all(
        self, proposals: Sequence[Sequence[Draft]], lease: Lease | None = None
    ) -> list[Accepted | QuartermasterError]:
        """Return a verdict for each proposal."""

    def offer(self, *drafts: Draft) -> None:
        """Hand over telemetry."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is done (s); poll_s is how long an agent may hold a question open."""

    refresh_s: float = 30.0
    probe_s: float = 2.0
    poll_s: float = 10.0
    tick_s: float = 1.0
    patience: decide.Patience = field(default_factory=decide.Patience)


@dataclass(frozen=True, slots=True)
class Desk:
    """What everybody here works with."""

    state: State
    log: Log
    recorder: Recorder
    agents: Agents
    clock: Clock
    pace: Pace

    async def record(self, proposals: Sequence[tuple[Draft, ...]], lease: Lease) -> None:
        """Propose, and return when what was recorded is folded.

        What the journal cannot take now is decided again at the next round. Raises Refused when it
        never will, and Fenced.
        """
        try:
            verdicts = await self.recorder.propose_all(proposals, lease)
            recorded = [v.position for v in verdicts if not isinstance(v, QuartermasterError)]
            if recorded:
                await self.log.reach(max(recorded), timeout_s=REACH_S)
        except Unavailable as error:
            log.warning("not recorded yet", because=error.detail)
            return
        for verdict in verdicts:
            if isinstance(verdict, Unavailable):
                log.warning("not recorded yet", because=verdict.detail)
            elif isinstance(verdict, QuartermasterError):
                raise verdict


class Monitor:
    """Watches all nodes while leading; what one of them does delays no other."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def act(self, term: Term) -> None:
        """Watch until cancelled; raises Fenced when somebody newer leads."""
        watches: dict[str, Watch] = {}
        with hardware_gauges(watches):
            async with Together() as tasks:
                tasks.create_task(self._listen(watches, term.lease))
                await self._keep_watching(tasks, watches, term.lease)

    async def _keep_watching(
        self, tasks: Together, watches: dict[str, Watch], lease: Lease
    ) -> None:
        """Run one task per node of the folded state, at its address of today."""
        desk = self._desk
        running: dict[str, tuple[str, asyncio.Task[None]]] = {}
        while True:
            wanted = {node.node_id: node.agent_url for node in desk.state.nodes.values()}
            for node_id, (url, task) in list(running.items()):
                if wanted.get(node_id) != url:
                    del running[node_id], watches[node_id]
                    task.cancel()
            for node_id, url in wanted.items():
                if node_id not in running:
                    watch = watches[node_id] = Watch(desk.clock.monotonic())
                    asking = _Questions(desk, node_id, watch, lease).forever(url)
                    running[node_id] = (url, tasks.create_task(asking))
                    await desk.clock.sleep(LAUNCH_GAP_S)
            await desk.log.changed(desk.pace.refresh_s)

    async def _listen(self, watches: dict[str, Watch], lease: Lease) -> None:
        """Decide on silence at every tick; after a pause of our own, listen anew first."""
        desk, pace = self._desk, self._desk.pace
        last_s = desk.clock.monotonic()
        while True:
            await desk.clock.sleep(pace.tick_s)
            now_s = desk.clock.monotonic()
            if now_s - last_s > pace.tick_s + pace.patience.silent_after_s:
                log.warning("we were not listening", for_s=round(now_s - last_s, 1))
                for watch in watches.values():
                    watch.forgive(now_s)
            proposals = decide.silence(desk.state, watches, now_s, pace.patience)
            if proposals:
                await desk.record(proposals, lease)
            last_s = desk.clock.monotonic()


def hardware_gauges(watches: Mapping[str, Watch]) -> ExitStack:
    """Return what shows the GPUs of all nodes while it is open.

    The monitor tells it and not the agents: they run on strangers' machines, where the collector
    need not be reached and its address is nobody's business.
    """
    looks: dict[str, Callable[[GpuUse], float]] = {
        "hw.gpu.utilization": lambda gpu: gpu.utilization_percent / 100,
        "hw.gpu.memory.usage": lambda gpu: gpu.memory_used_mb * MB,
        "hw.gpu.memory.limit": lambda gpu: gpu.memory_mb * MB,
    }
    stack = ExitStack()
    for name, value in looks.items():
        stack.enter_context(metering.gauge(name, partial(_of_gpus, watches, value)))
    return stack


def _of_gpus(watches: Mapping[str, Watch], value: Callable[[GpuUse], float]) -> metering.Readings:
    return [
        (
            value(gpu),
            {
                "hw.id": gpu.uuid,
                "hw.type": "gpu",
                "hw.name": gpu.name,
                "quartermaster.node.id": node,
            },
        )
        for node, watch in watches.items()
        for gpu in watch.gpus
    ]


class _Questions:
    """The questions to one node, one after the other."""

    def __init__(self, desk: Desk, node_id: str, watch: Watch, lease: Lease) -> None:
        self._desk, self._clock, self._pace = desk, desk.clock, desk.pace
        self._node_id, self._watch, self._lease = node_id, watch, lease

    async def forever(self, url: str) -> None:
        """Ask until cancelled."""
        agent = self._desk.agents.connect(url)
        since: int | None = None
        try:
            while True:
                began_s = self._clock.monotonic()
                since, gap_s = await self._once(agent, since)
                await self._clock.sleep(max(0.0, began_s + gap_s - self._clock.monotonic()))
        finally:
            await agent.close()

    async def _once(self, agent: Agent, since: int | None) -> tuple[int | None, float]:
        """Ask once; return what to ask after next time, and the least time between questions."""
        asked_at, asked_s = self._desk.log.position, self._clock.monotonic()
        before, wait_s = self._watch.reported, self._wait_s(since)
        try:
            status = await self._ask(agent, since, wait_s)
            await self._digest(agent, status, asked_at)
        except (Fenced, Bug):
            raise
        except QuartermasterError as error:
            self._watch.miss(self._clock.monotonic(), error.detail)
            return None, self._pace.probe_s
        early = self._clock.monotonic() - asked_s < wait_s / 2
        moved = self._watch.reported != before
        return status.change, self._pace.probe_s if early and not moved else CHANGE_GAP_S

    def _wait_s(self, since: int | None) -> float:
        """Return how long the agent may wait: not past the next report, briefly when in doubt."""
        if since is None:
            return 0.0
        if self._watch.absent:
            return self._pace.probe_s
        reported_s = self._watch.reported_s or 0.0
        due_s = reported_s + self._pace.refresh_s - self._clock.monotonic()
        return min(self._pace.poll_s, max(due_s, CHANGE_GAP_S))

    async def _ask(self, agent: Agent, since: int | None, wait_s: float) -> NodeStatus:
        asked_s = self._clock.monotonic()
        status = await agent.status(since, wait_s)
        if why := decide.nonsense(status):
            raise Unavailable(why)
        if not wait_s:
            self._watch.answer_ms = round((self._clock.monotonic() - asked_s) * 1000, 3)
        return status

    async def _digest(self, agent: Agent, status: NodeStatus, asked_at: int) -> None:
        """Record what the answer changes, then report it."""
        desk, watch = self._desk, self._watch
        watch.answer(self._clock.monotonic(), desk.log.now())
        watch.gpus = status.gpus
        node = desk.state.nodes.get(self._node_id)
        if node is None:
            return
        watch.compare(node, status, asked_at)
        tails = await self._tails(agent, decide.ended(node, status, asked_at))
        proposals = decide.answered(node, watch, status, asked_at, tails)
        if not node.online:
            watch.reported_s = None  # nobody goes by what was reported before it was away
        if proposals:
            await desk.record(proposals, self._lease)
        self._report(status)

    def _report(self, status: NodeStatus) -> None:
        now_s = self._clock.monotonic()
        report = decide.report(self._node_id, self._watch, status, now_s, self._pace.refresh_s)
        if report is None:
            return
        try:
            self._desk.recorder.offer(Draft(f"node-reports/{self._node_id}", report))
        except Unavailable as error:
            log.warning("report dropped", node=self._node_id, because=error.detail)
            return
        self._watch.reported_s, self._watch.reported = now_s, decide.gist(status)

    async def _tails(self, agent: Agent, instance_ids: Sequence[str]) -> dict[str, str]:
        """Return the last log lines of workers that ended; a death is recorded without them too."""
        tails = {}
        for instance_id in instance_ids:
            try:
                tails[instance_id] = (await agent.instance(instance_id)).log_tail
            except QuartermasterError as error:
                tails[instance_id] = f"(the log could not be read: {error.detail})"[:1000]
        return tails
