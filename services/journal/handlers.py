"""What the journal does with a message: append proposals, answer reads, park the unreadable."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import structlog
from opentelemetry import metrics
from pydantic import ValidationError

from services.chassis import failpoints, wire
from services.chassis.errors import Refused, Unavailable
from services.chassis.ports import Message
from services.chassis.supervision import Together
from services.journal import export, facts, history, jobs, lag, parked, snapshots, verify, window
from services.journal.append import Appending, GroupAppender
from services.journal.moments import Moments
from services.journal.publish import Publisher, Publishing
from services.journal.records import Command, Refusal, Verdict
from services.journal.validate import judge, proposals_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from services.chassis.clock import Clock
    from services.chassis.ports import Bus, Delivery, Inbox

    Report = Callable[[str, bool, str], None]

log = structlog.get_logger(__name__)
JUDGED = metrics.get_meter("quartermaster.journal").create_counter(
    "quartermaster.journal.proposals",
    unit="{proposal}",
    description="Proposals by what became of them.",
)

PREFETCH = 400
GATHER_MESSAGES = 200
IN_FLIGHT = 2
QUESTIONS_AT_ONCE = 4  # fewer than the log's connections: reads must leave some to the appends
RETRY_S = 0.3
PARTITION_CHECK_S, FORGET_AGAIN_S = 3600.0, 60.0
REFUSAL_DETAIL = 500


class Log(
    Appending,
    facts.Telling,
    lag.Measured,
    Publishing,
    history.Reading,
    snapshots.Keeping,
    verify.Verifiable,
    export.Exportable,
    Protocol,
):
    """Everything the journal asks of a log."""

    async def make_partitions(self) -> None:
        """Make the telemetry partitions of the days ahead."""


@dataclass(frozen=True)
class Forgetting:
    """The days of telemetry, and how many of them are kept."""

    days: window.Windowed
    window_days: int


class Journal:
    """One journal process; two at once are harmless."""

    def __init__(
        self,
        bus: Bus,
        log_: Log,
        clock: Clock,
        report: Report = lambda _, __, ___: None,
        *,
        forgetting: Forgetting | None = None,
        jobs_: jobs.Jobs | None = None,
    ) -> None:
        self._bus, self._log, self._clock = bus, log_, clock
        self._forgetting, self._jobs = forgetting, jobs_
        moments = Moments(clock)
        self.publisher = Publisher(bus, log_, clock, partial(report, "publish"), moments=moments)
        self.appender = GroupAppender(
            log_, clock, self.publisher.wake, say=partial(report, "append"), moments=moments
        )
        self.refusals: Counter[str] = Counter()
        self._parked = parked.Parked(bus, self.attempt, clock)

    async def run(self) -> None:
        """Do all of it for ever."""
        await self._make_partitions()  # no append may come before the partition it needs
        async with Together() as tasks:
            tasks.create_task(self.appender.run())
            tasks.create_task(self.publisher.run())
            tasks.create_task(self.publisher.beacon())
            tasks.create_task(self._again(self.take_proposals))
            tasks.create_task(self._again(self.take_questions))
            tasks.create_task(self._keep_partitions())
            if self._jobs is not None:
                tasks.create_task(self._jobs.run())

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Unavailable as error:
                log.info("consuming again", because=error.detail)
                await self._clock.sleep(RETRY_S)

    async def _make_partitions(self) -> None:
        while True:
            try:
                return await self._log.make_partitions()
            except Unavailable as error:
                log.warning("partitions not made", because=error.detail)
                await self._clock.sleep(RETRY_S)

    async def _keep_partitions(self) -> None:
        while True:
            await self._clock.sleep(await self._forget())
            await self._make_partitions()

    async def _forget(self) -> float:
        """Drop what is older than the window; return when to look again (s).

        What is dropped is gone for ever, so of two clocks the one that stands behind decides.
        """
        if self._forgetting is None:
            return PARTITION_CHECK_S
        try:
            await window.forget(
                self._forgetting.days,
                min(self._clock.now(), (await self._log.head()).now),
                window_days=self._forgetting.window_days,
                published=await self._log.cursor(),
            )
        except Unavailable as error:
            log.info("forgetting again", because=error.detail)
            return FORGET_AGAIN_S
        return PARTITION_CHECK_S

    async def take_proposals(self) -> None:
        """Judge and append what arrives; while one gathering commits, the next is judged."""
        inbox = await self._bus.consume(wire.QUEUE_PROPOSED, prefetch=PREFETCH)
        before: asyncio.Task[None] | None = None
        room = asyncio.Semaphore(IN_FLIGHT)
        try:
            async with Together() as settling:
                while True:
                    await room.acquire()
                    deliveries = await _gather(inbox)
                    before = settling.create_task(self._settle(deliveries, before))
                    before.add_done_callback(lambda _: room.release())
        finally:
            with suppress(Unavailable):
                await inbox.close()

    async def _settle(self, deliveries: list[Delivery], before: asyncio.Task[None] | None) -> None:
        """Append, answer, acknowledge: in this order, and after the gathering before."""
        now = self._clock.now()
        judged = [self._judge(each.body, each.user_id, now) for each in deliveries]
        commands = [item for items in judged for item in items if isinstance(item, Command)]
        verdicts = iter(await self.appender.append(commands))
        results = [
            [_result(next(verdicts) if isinstance(item, Command) else item) for item in items]
            for items in judged
        ]
        if before is not None:
            await asyncio.shield(before)
        await failpoints.reach(failpoints.JOURNAL_ANSWERING)
        await asyncio.gather(
            *(
                self._tell(delivery, result)
                for delivery, result in zip(deliveries, results, strict=True)
            )
        )
        await deliveries[-1].ack(multiple=True)

    async def attempt(self, body: bytes, proposer: str | None) -> list[dict[str, Any]]:
        """Judge and append a message that did not come by the queue; return what came of each."""
        judged = self._judge(body, proposer, self._clock.now())
        commands = [item for item in judged if isinstance(item, Command)]
        verdicts = iter(await self.appender.append(commands))
        return [_result(next(verdicts) if isinstance(item, Command) else item) for item in judged]

    def _judge(self, body: bytes, proposer: str | None, now: datetime) -> list[Command | Refusal]:
        try:
            return [_judged(raw, proposer, now) for raw in proposals_of(body)]
        except Refused as error:
            return [Refusal(error.code, error.detail)]

    async def _tell(self, delivery: Delivery, results: list[dict[str, Any]]) -> None:
        """Answer whoever waits; park what was refused and nobody waits for."""
        refused = [result for result in results if result["verdict"] == "refused"]
        JUDGED.add(len(results) - len(refused), {"quartermaster.verdict": "recorded"})
        for result in refused:
            JUDGED.add(1, {"quartermaster.verdict": result["code"]})
            self.refusals[result["code"]] += 1
            log.warning(
                "refused", proposer=delivery.user_id, code=result["code"], detail=result["detail"]
            )
        if delivery.reply_to:
            await self._bus.answer(delivery, orjson.dumps({"results": results}), {})
        elif refused:
            await self._park(delivery, refused[0])

    async def _park(self, delivery: Delivery, result: dict[str, Any]) -> None:
        headers = {
            "reason": result["code"],
            "detail": result["detail"][:REFUSAL_DETAIL],
            "proposer": delivery.user_id or "",
            "parked_at": self._clock.now().isoformat(),
        }
        message = Message(delivery.body, headers, message_id=delivery.message_id)
        await self._bus.publish("qm.parked", "parked", message, mandatory=True)

    async def take_questions(self) -> None:
        """Answer reads: history pages, the head, verification."""
        inbox = await self._bus.consume(wire.QUEUE_JOURNAL, prefetch=QUESTIONS_AT_ONCE)
        try:
            async with Together() as answering:
                while (delivery := await inbox.next()) is not None:
                    answering.create_task(self._answer(delivery))
        finally:
            with suppress(Unavailable):
                await inbox.close()

    async def _answer(self, delivery: Delivery) -> None:
        try:
            headers, body = await self._read(delivery.body, delivery.user_id)
        except Refused as error:
            headers, body = {"error": error.detail, "code": error.code}, b"{}"
        await self._bus.answer(delivery, body, headers)
        await delivery.ack()

    async def _read(self, body: bytes, user: str | None) -> tuple[dict[str, Any], bytes]:
        text, _, chunk = body.partition(b"\n")
        try:
            question = orjson.loads(text)
            operation = question["op"]
            if operation in snapshots.OPERATIONS:
                return await snapshots.answer(self._log, user, question, chunk)
            if operation == "history":
                return await history.answer(
                    self._log, history.HistoryQuestion.model_validate(question)
                )
            if operation in facts.OPERATIONS:
                return await facts.answer(self._log, question)
            return await self._of_the_log(operation, question, user)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Refused("a question is a JSON object with the field op") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise Refused(f"{field}: {first['msg']}") from error

    async def _of_the_log(
        self, operation: str, question: Any, user: str | None
    ) -> tuple[dict[str, Any], bytes]:
        if operation in parked.OPERATIONS:
            return await self._parked.answer(user, question)
        if operation in jobs.OPERATIONS and self._jobs is not None:
            return {}, await self._jobs.answer(user, question)
        if operation == export.OPERATION:
            return await export.page(self._log, export.ExportQuestion.model_validate(question))
        if operation == lag.OPERATION:
            return await lag.answer(self._log, self._bus)
        if operation == "head":
            head = await self._log.head()
            return {}, orjson.dumps({"position": head.position, "event_id": head.event_id})
        if operation == "verify":
            return {}, orjson.dumps((await verify.verify(self._log)).as_dict())
        known = "history, facts, moment, head, lag, verify, log.export, job.*, parked.*, snapshot.*"
        raise Refused(f"op: {operation} is not one of {known}")


def _judged(raw: Any, proposer: str | None, now: datetime) -> Command | Refusal:
    """Judge one proposal; one that breaks the judge is refused, for it would do so for ever."""
    try:
        return judge(raw, proposer, now)
    except Exception as error:
        log.exception("cannot judge a proposal", proposer=proposer)
        return Refusal("bug", f"the journal cannot judge it: {type(error).__name__}")


async def _gather(inbox: Inbox) -> list[Delivery]:
    """Return everything that is there, waiting only for the first."""
    deliveries: list[Delivery] = []
    while not deliveries or (inbox.ready() and len(deliveries) < GATHER_MESSAGES):
        delivery = await inbox.next()
        if delivery is not None:
            deliveries.append(delivery)
    return deliveries


def _result(item: Verdict | Refusal) -> dict[str, Any]:
    """Return a proposal's outcome as its answer says it."""
    if isinstance(item, Refusal):
        return {
            "verdict": "refused",
            "code": item.code,
            "detail": item.detail,
            "numbers": dict(item.numbers),
        }
    if item.outcome in ("appended", "duplicate"):
        return {
            "verdict": "recorded",
            "positions": item.positions,
            "versions": item.versions,
            "duplicate": item.outcome == "duplicate",
        }
    detail = {
        "conflict": f"{item.stream} is at version {item.current}",
        "fenced": f"{item.stream} is at epoch {item.current}",
        "other_content": "event_id: known with other content",
    }[item.outcome]
    return {
        "verdict": "refused",
        "code": item.outcome,
        "detail": detail,
        "numbers": {"stream": item.stream, "current": item.current},
    }
