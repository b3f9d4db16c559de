"""Keep one task per thing to do, from the folded state alone, until the log says it is done."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import orjson
import structlog
from opentelemetry import metrics

from contracts.http.agent import InstanceAnswer, KillCommand, SecretFile, StartCommand, StopCommand
from services.chassis import tracing
from services.chassis.errors import (
    Bug,
    Conflict,
    Fenced,
    NotFound,
    QuartermasterError,
    Refused,
    Unavailable,
)
from services.chassis.supervision import Together
from services.deployer import decide
from services.deployer.state import Instance, Kill, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from contracts.envelope import Draft, Lease
    from contracts.http.agent import Killed
    from contracts.types import QueueAddress, SecretRef
    from services.chassis.clock import Clock
    from services.chassis.leadership import Term
    from services.chassis.proposer import Accepted

log = structlog.get_logger(__name__)
DONE_S = metrics.get_meter("quartermaster.deployer").create_histogram(
    "quartermaster.deploy.duration",
    unit="s",
    description="From taking up a start, stop or kill to its outcome.",
    explicit_bucket_boundaries_advisory=[0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800],
)

QUEUE_FILE = "QM_QUEUE_FILE"
LOOK_GAP_S = 0.25  # an agent that answers at once although it was asked to wait
REACH_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is spoken to."""

    node_id: str
    url: str


class Provider(Protocol):
    """One kind of back end; done when it passes the shared suite.

    Each method: Unavailable when no answer came (ask again: nothing is known), NotFound when the
    instance is unknown there, Refused and Conflict when it will not, with `numbers["code"]`.
    """

    async def start(self, place: Place, command: StartCommand) -> InstanceAnswer:
        """Start an instance; the same instance_id again answers how that one is."""

    async def await_ready(self, place: Place, instance_id: str, wait_s: float) -> InstanceAnswer:
        """Return how an instance is, after at most `wait_s` while it starts or stops."""

    async def stop(self, place: Place, instance_id: str, command: StopCommand) -> InstanceAnswer:
        """End an instance; what ended before is answered as ended."""

    async def kill(self, place: Place, pid: int, command: KillCommand) -> Killed:
        """Kill a process and confirm its death."""

    async def is_left(self, place: Place, gpu_uuid: str, pid: int | None) -> bool:
        """Return whether a GPU is there, and not held by a process, whoever started that."""


class Log(Protocol):
    """The folded log."""

    def now(self) -> datetime:
        """Return the log's time."""

    async def changed(self, timeout_s: float) -> bool:
        """Return once anything was folded since the last call."""

    async def reach(self, position: int, timeout_s: float = 10.0) -> None:
        """Return when everything through `position` is folded."""


class Recorder(Protocol):
    """The way into the log."""

    async def propose(self, *drafts: Draft, lease: Lease | None = None) -> Accepted:
        """Return where the events were recorded."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take (s), and how many commands one node is given at a time."""

    retry_s: float = 2.0
    look_s: float = 20.0
    idle_s: float = 2.0
    ready_within_s: float = 1800.0
    kill_within_s: float = 30.0
    grace_s: float = 10.0
    commands_per_node: int = 8


@dataclass(frozen=True, slots=True)
class Desk:
    """What every job here works with."""

    state: State
    log: Log
    recorder: Recorder
    provider: Provider
    reveal: Callable[[SecretRef], Awaitable[str]]
    clock: Clock
    pace: Pace


@dataclass(frozen=True, slots=True)
class _Running:
    job: decide.Job
    place: Place | None
    task: asyncio.Task[None]


class Deployer:
    """Does what the folded state wants; a new leader finds all of it there and goes on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(desk.pace.commands_per_node)
        )

    async def act(self, term: Term) -> None:
        """Work until cancelled; raises Fenced when somebody newer leads."""
        running: dict[str, _Running] = {}
        async with Together() as tasks:
            while True:
                await self._reconcile(tasks, running, term.lease)
                await self._desk.log.changed(self._desk.pace.idle_s)

    async def _reconcile(self, tasks: Together, running: dict[str, _Running], lease: Lease) -> None:
        """Make what runs what is wanted: one task per subject, the old one ended before the new."""
        wanted = decide.jobs(self._desk.state)
        ended = [key for key, each in running.items() if not self._still(each, wanted.get(key))]
        for key in ended:
            running[key].task.cancel()
        if ended:
            await asyncio.wait({running.pop(key).task for key in ended})
        for key, job in wanted.items():
            if key not in running:
                place = self._place(job)
                doing = self._do(job, place, lease)
                running[key] = _Running(job, place, tasks.create_task(doing))

    def _still(self, running: _Running, wanted: decide.Job | None) -> bool:
        if running.task.done() or wanted is None:
            return False
        return wanted.kind == running.job.kind and self._place(wanted) == running.place

    def _place(self, job: decide.Job) -> Place | None:
        url = decide.agent_of(self._desk.state, job)
        return Place(job.node_id, url) if url is not None else None

    async def _do(self, job: decide.Job, place: Place | None, lease: Lease) -> None:
        """Do one job to its end, and record it."""
        told = {"quartermaster.subject": job.key, "quartermaster.node.id": job.node_id}
        with tracing.span(f"{job.kind} on node", told, cause=decide.cause(job).event_id):
            await self._do_in_trace(job, place, lease)

    async def _do_in_trace(self, job: decide.Job, place: Place | None, lease: Lease) -> None:
        subject, began_s = job.subject, self._desk.clock.monotonic()
        if isinstance(subject, Kill):
            draft = await _Killing(self._desk, self._turns[job.node_id], lease).do(subject, place)
        elif place is None:
            # Its node was deleted and its GPU was seen nowhere since: nobody can be asked.
            await self._desk.clock.sleep(self._desk.pace.ready_within_s)
            return
        elif job.kind == "start":
            draft = await _Worker(self._desk, self._turns[job.node_id], place).start(subject)
        else:
            draft = await _Worker(self._desk, self._turns[job.node_id], place).stop(subject)
        DONE_S.record(
            self._desk.clock.monotonic() - began_s,
            {"quartermaster.deploy.kind": job.kind, "quartermaster.event.type": draft.event.type},
        )
        await self._record(draft, lease)

    async def _record(self, draft: Draft, lease: Lease) -> None:
        """Return when the fact is recorded and folded; the job is done again when it is not."""
        try:
            accepted = await self._desk.recorder.propose(draft, lease=lease)
            await self._desk.log.reach(accepted.position, timeout_s=REACH_S)
        except Unavailable as error:
            log.warning("not recorded yet", stream=draft.stream, because=error.detail)
        except (Fenced, Bug):
            raise
        except QuartermasterError as error:
            # One instance's trouble: the others go on, and this one is tried and told again.
            log.exception("refused by the journal", stream=draft.stream, because=error.detail)
            await self._desk.clock.sleep(self._desk.pace.retry_s)


class _Worker:
    """Starts and ends one instance at one place."""

    def __init__(self, desk: Desk, turns: asyncio.Semaphore, place: Place) -> None:
        self._desk, self._turns, self._place = desk, turns, place

    async def start(self, instance: Instance) -> Draft:
        """Return that it is ready, or that it failed and nothing of it is left."""
        while True:
            try:
                return await self._start(instance)
            except (Unavailable, NotFound) as error:
                await self._again("start", instance, error)
            except (Fenced, Bug):
                raise
            except (Refused, Conflict) as error:
                code = str(error.numbers.get("code") or "")
                if not decide.is_of_the_machine(code):
                    await self.stop(instance)
                return decide.start_failed(instance, code or error.code, error.detail)

    async def _start(self, instance: Instance) -> Draft:
        secrets = await self._secrets(instance.queue)
        command = decide.start_command(instance, secrets)
        async with self._turns:
            answer = await self._desk.provider.start(self._place, command)
        while (draft := decide.begun(instance, answer)) is None:
            left_s = self._left_s(instance)
            if left_s <= 0:
                await self.stop(instance)
                limit_s = self._desk.pace.ready_within_s
                why = f"the worker was not ready within {limit_s:g} s"
                return decide.start_failed(instance, "ready_timeout", why)
            answer = await self._look(instance, left_s)
        return draft

    async def stop(self, instance: Instance) -> Draft:
        """Return the confirmed death; a lost answer is asked again, and nothing is assumed."""
        while True:
            try:
                answer = await self._stop(instance)
                if decide.is_dead(answer):
                    return decide.stopped(instance, answer.instance.exit_code)
            except NotFound as error:
                if await self._gone(instance):
                    return decide.stopped(instance, None)
                await self._again("stop", instance, error)
            except (Fenced, Bug):
                raise
            except QuartermasterError as error:
                await self._again("stop", instance, error)

    async def _stop(self, instance: Instance) -> InstanceAnswer:
        command = decide.stop_command(instance, self._desk.pace.grace_s)
        async with self._turns:
            answer = await self._desk.provider.stop(self._place, instance.instance_id, command)
        if decide.is_unknown(answer):
            raise NotFound("the agent does not know it, and its GPU may still be held")
        if decide.is_dead(answer):
            return answer
        return await self._look(instance, self._desk.pace.look_s)

    async def _gone(self, instance: Instance) -> bool:
        """Return whether an instance its agent does not know has left its GPU as well."""
        try:
            return await self._desk.provider.is_left(self._place, instance.gpu_uuid, instance.pid)
        except QuartermasterError as error:
            log.info("not known whether it runs", on=instance.gpu_uuid, because=error.detail)
            return False

    async def _look(self, instance: Instance, at_most_s: float) -> InstanceAnswer:
        await self._desk.clock.sleep(LOOK_GAP_S)
        wait_s = min(self._desk.pace.look_s, max(at_most_s, LOOK_GAP_S))
        return await self._desk.provider.await_ready(self._place, instance.instance_id, wait_s)

    def _left_s(self, instance: Instance) -> float:
        """Return how much of its time a worker has left to become ready, by the log's clock."""
        passed = self._desk.log.now() - instance.requested_at
        return self._desk.pace.ready_within_s - passed.total_seconds()

    async def _again(self, what: str, instance: Instance, error: QuartermasterError) -> None:
        subject, node = instance.instance_id, self._place.node_id
        log.info("asking again", what=what, subject=subject, node=node, because=error.detail)
        await self._desk.clock.sleep(self._desk.pace.retry_s)

    async def _secrets(self, queue: QueueAddress | None) -> tuple[SecretFile, ...]:
        """Return the file that tells a worker where its queue is and how to open it."""
        if queue is None:
            return ()
        password = await self._desk.reveal(queue.password) if queue.password else None
        content = {
            "host": queue.host,
            "port": queue.amqp_port,
            "vhost": queue.vhost,
            "queue": queue.name,
            "username": queue.username,
            "password": password,
        }
        return (SecretFile(variable=QUEUE_FILE, content=orjson.dumps(content).decode()),)


class _Killing:
    """Kills one process, soon or not at all: a pid is soon another process's."""

    def __init__(self, desk: Desk, turns: asyncio.Semaphore, lease: Lease) -> None:
        self._desk, self._turns, self._lease = desk, turns, lease

    async def do(self, kill: Kill, place: Place | None) -> Draft:
        """Return that it is dead, or why it was not killed."""
        expires_at = kill.asked_at + timedelta(seconds=self._desk.pace.kill_within_s)
        command = decide.kill_command(kill, self._lease.epoch, expires_at)
        why = "there is no such node" if place is None else "the order came too late"
        while place is not None and self._desk.log.now() <= expires_at:
            try:
                async with self._turns:
                    answer = await self._desk.provider.kill(place, kill.pid, command)
                return decide.killed(kill, answer)
            except (Fenced, Bug):
                raise
            except Unavailable as error:
                why = error.detail
                await self._desk.clock.sleep(self._desk.pace.retry_s)
            except QuartermasterError as error:
                return decide.kill_failed(kill, error.detail)
        return decide.kill_failed(kill, why)
