"""Ask every queue in its turn, look at all of them between, and record what the answers change."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from contracts.envelope import Draft, Lease
from contracts.types import QueueAddress, SecretRef
from services.chassis import metering
from services.chassis.clock import Clock
from services.chassis.errors import Fenced, QuartermasterError, Refused, Unavailable
from services.chassis.folding import Folding
from services.chassis.health import Health
from services.chassis.leadership import Term
from services.chassis.proposer import Accepted
from services.chassis.supervision import Together
from services.queue_sampler import decide
from services.queue_sampler.decide import Asked
from services.queue_sampler.state import (
    Answer,
    Connection,
    Failure,
    NotYet,
    Probe,
    Reading,
    State,
    connection_of,
)

log = structlog.get_logger(__name__)

IDLE_S = 1.0  # how often the turns are looked at when nothing is folded
Reveal = Callable[[SecretRef], Awaitable[str]]


class Management(Protocol):
    """A broker's own count of a queue."""

    async def read(self, address: QueueAddress, password: str) -> Answer:
        """Return the count, or why there is none; raises nothing for a broker's faults."""


class Passive(Protocol):
    """A look at a queue over AMQP."""

    async def probe(self, address: QueueAddress, password: str) -> Probe | Failure:
        """Return the ready messages, or why they are not known."""

    async def keep_only(self, addresses: Iterable[QueueAddress]) -> None:
        """Close what no address of these needs."""


class Voice(Protocol):
    """What the proposer does for the sampler."""

    async def propose_all(
        self, proposals: list[tuple[Draft, ...]], lease: Lease | None = None
    ) -> list[Accepted | QuartermasterError]:
        """Return a verdict for each."""

    def offer(self, *drafts: Draft) -> None:
        """Hand over telemetry."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how many at a time, and whether a new model waits for its turn."""

    sample_s: float = 60.0
    probe_s: float = 5.0
    at_once: bool = True
    per_broker: int = 8


@dataclass(frozen=True, slots=True)
class Outside:
    """What the sampler reaches beyond the log."""

    management: Management
    passive: Passive | None
    reveal: Reveal


class Sampler:
    """Samples and probes while leading; everything that matters is in the folded state."""

    def __init__(
        self,
        state: State,
        folding: Folding,
        voice: Voice,
        outside: Outside,
        clock: Clock,
        health: Health,
        pace: Pace,
    ) -> None:
        self._state, self._folding, self._voice = state, folding, voice
        self._outside, self._clock, self._health, self._pace = outside, clock, health, pace
        self._asked: dict[str, Asked] = {}
        self._offered: dict[str, tuple[int, Reading]] = {}
        self._probes: dict[str, str] = {}
        self._places: defaultdict[tuple[str, int], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(pace.per_broker)
        )

    async def act(self, term: Term) -> None:
        """Sample and probe until the term is over."""
        self._asked.clear()
        self._offered.clear()
        with metering.gauge("quartermaster.queue.length", self._lengths):
            async with Together() as tasks:
                tasks.create_task(self._sample_in_turn(term))
                if self._outside.passive is not None:
                    tasks.create_task(self._probe_in_rounds(self._outside.passive))

    def _lengths(self) -> metering.Readings:
        """Return what was last recorded of every queue; of one that cannot be read, nothing."""
        return [
            (
                reading.ready + reading.unacknowledged,
                {
                    "quartermaster.model.id": model_id,
                    "messaging.destination.name": self._state.queues[model_id].address.name,
                },
            )
            for model_id, reading in self._state.samples.items()
        ]

    # Samples, by the Management API.

    async def _sample_in_turn(self, term: Term) -> None:
        asking: dict[str, asyncio.Task[None]] = {}
        async with Together() as tasks:
            while True:
                asking = {model_id: task for model_id, task in asking.items() if not task.done()}
                self._forget()
                now_s = self._clock.monotonic()
                for model_id in decide.due(
                    self._state, self._asked, now_s, at_once=self._pace.at_once
                ):
                    if model_id not in asking:
                        asking[model_id] = tasks.create_task(self._sample(model_id, term))
                await self._folding.changed(timeout_s=min(IDLE_S, self._pace.probe_s))

    async def _sample(self, model_id: str, term: Term) -> None:
        queue = self._state.queues[model_id]
        self._ask_again(model_id, queue.since, self._pace.sample_s)
        async with self._places[queue.address.host, queue.address.port]:
            answer = await self._read(queue.address)
        if self._state.queues.get(model_id) != queue:
            return  # the queue moved meanwhile: this answer is about another one
        if isinstance(answer, Reading):
            self._offer(model_id, answer, decide.sampled(model_id, answer))
        if isinstance(answer, NotYet):
            log.debug("queue not counted yet", model_id=model_id, because=answer.detail)
            self._ask_again(model_id, queue.since, self._pace.probe_s)
        await self._record(decide.changes(self._state, model_id, answer), term)

    async def _read(self, address: QueueAddress) -> Answer:
        if address.password is None:
            return Failure("no_secret", "the model has no password for its queue")
        try:
            password = await self._outside.reveal(address.password)
        except Refused as error:
            return Failure("no_secret", error.detail)
        except Unavailable as error:
            return NotYet(error.detail)
        return await self._outside.management.read(address, password)

    def _ask_again(self, model_id: str, since: int, after_s: float) -> None:
        self._asked[model_id] = Asked(self._clock.monotonic() + after_s, since)

    def _forget(self) -> None:
        for gone in self._asked.keys() - self._state.queues.keys():
            self._asked.pop(gone)
            self._offered.pop(gone, None)
            self._probes.pop(gone, None)

    # Probes, over AMQP.

    async def _probe_in_rounds(self, passive: Passive) -> None:
        probing: dict[Connection, asyncio.Task[None]] = {}
        async with Together() as tasks:
            while True:
                probing = {key: task for key, task in probing.items() if not task.done()}
                groups = self._by_connection()
                for key, model_ids in groups.items():
                    if key not in probing:  # a slow broker's last round delays only its own next
                        probing[key] = tasks.create_task(self._probe_all(passive, model_ids))
                await passive.keep_only([q.address for q in self._state.queues.values()])
                await self._clock.sleep(self._pace.probe_s)

    def _by_connection(self) -> dict[Connection, list[str]]:
        groups: defaultdict[Connection, list[str]] = defaultdict(list)
        for model_id, queue in self._state.queues.items():
            if queue.address.password is not None:
                groups[connection_of(queue.address)].append(model_id)
        return groups

    async def _probe_all(self, passive: Passive, model_ids: list[str]) -> None:
        for model_id in model_ids:
            queue = self._state.queues.get(model_id)
            if queue is None or queue.address.password is None:
                continue
            try:
                password = await self._outside.reveal(queue.address.password)
            except (Refused, Unavailable):
                return  # its samples say so
            found = await passive.probe(queue.address, password)
            if self._state.queues.get(model_id) == queue:
                self._judge(model_id, queue.since, found)

    def _judge(self, model_id: str, since: int, found: Probe | Failure) -> None:
        self._note(model_id, found)
        previous = self._previous(model_id)
        if isinstance(found, Failure) or previous is None:
            return
        match decide.urgent(previous, found):
            case "grew":
                reading = Reading(found.ready, previous.unacknowledged, found.consumers)
                self._offer(model_id, reading, decide.probed(model_id, previous, found))
            case "emptied":
                # Taken is not done: what its consumers hold only the broker's own count tells.
                self._ask_again(model_id, since, 0.0)

    def _note(self, model_id: str, found: Probe | Failure) -> None:
        """Log a probe that cannot be made, once until it changes."""
        said = found.code if isinstance(found, Failure) else ""
        if said and self._probes.get(model_id) != said:
            log.warning("queue cannot be probed", model_id=model_id, because=str(found))
        self._probes[model_id] = said

    # What is recorded.

    def _previous(self, model_id: str) -> Reading | None:
        """Return what was last said of a queue: ours, where it is not folded yet."""
        if model_id in self._state.trouble:
            return None
        since, reading = self._offered.get(model_id, (0, None))
        queue = self._state.queues[model_id]
        return reading if since == queue.since else self._state.samples.get(model_id)

    def _offer(self, model_id: str, reading: Reading, draft: Draft) -> None:
        try:
            self._voice.offer(draft)
        except Unavailable as error:
            self._health.report("samples", ok=False, detail=error.detail)
            log.warning("sample lost", model_id=model_id, because=error.detail)
            return
        self._health.report("samples", ok=True)
        self._offered[model_id] = (self._state.queues[model_id].since, reading)

    async def _record(self, proposals: list[tuple[Draft, ...]], term: Term) -> None:
        """Record facts under the term's lease, and decide again only when they are folded."""
        for verdict in await self._voice.propose_all(proposals, lease=term.lease):
            if isinstance(verdict, Fenced | Unavailable):
                raise verdict
            if isinstance(verdict, QuartermasterError):
                self._health.report("facts", ok=False, detail=verdict.detail)
                log.error("fact refused", because=verdict.detail)
                continue
            self._health.report("facts", ok=True)
            await self._folding.reach(verdict.position)
