"""Jobs: work on the whole log that takes its time, on a board that any journal answers for.

One of a kind at a time. A job is done by a worker that is heard of every second or two; when it
falls silent, any journal gives the job to another one, so that a killed process leaves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.chassis.errors import NotFound, QuartermasterError, Refused, Unavailable
from services.chassis.ids import new_id, uuid7

if TYPE_CHECKING:
    from datetime import datetime

    from services.journal.records import Tell

log = structlog.get_logger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
LOOK_S, BEAT_S = 1.0, 1.0
SILENT_S = 15.0  # a worker not heard of for so long is replaced
ATTEMPTS = 3
AT_ONCE = 2
KEPT = 100  # ended jobs that can still be looked at
RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the board has it; times are when it was asked for, begun, ended."""

    job_id: str
    kind: str
    parameters: Mapping[str, Any]
    actor: str
    state: State = "waiting"
    attempts: int = 0
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    problem: str | None = None
    cancel_asked: bool = False
    asked_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def as_json(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(asdict(self))


class Board(Protocol):
    """Where jobs are kept, whichever process asks."""

    async def put(self, job: Job) -> Job:
        """Add a job; return the one of its kind that is there already instead."""

    async def job(self, job_id: str) -> Job | None:
        """Return a job."""

    async def jobs(self) -> list[Job]:
        """Return what is kept, newest first."""

    async def cancel(self, job_id: str) -> None:
        """End a job that waits, ask one that runs to end."""

    async def open_job(self) -> str | None:
        """Settle what no worker will end, and return a job that needs a worker."""

    async def claim(self, job_id: str, worker: str) -> Job | None:
        """Take a job that needs a worker; None when another was first."""

    async def beat(self, job_id: str, worker: str, progress: Mapping[str, Any]) -> bool | None:
        """Say how far the job is; return whether it shall end, None when it is not ours."""

    async def finish(self, job_id: str, worker: str, ended: Ended) -> None:
        """Say what became of the job, if it is still ours."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a job."""

    state: State
    result: Mapping[str, Any] | None = None
    problem: str | None = None


Kind = Callable[[Mapping[str, Any], "Tell"], Awaitable[Mapping[str, Any]]]
Launch = Callable[[str], Awaitable[None]]  # does one job, to its end


class Nothing(BaseModel):
    """The parameters of a job that needs none."""

    model_config = ConfigDict(extra="forbid")


class BackupParameters(BaseModel):
    """Where a backup is written: a directory below the one that is set for backups."""

    model_config = ConfigDict(extra="forbid")
    directory: Annotated[
        str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00]+$")
    ]


PARAMETERS: dict[str, type[BaseModel]] = {
    "verify": Nothing,
    "stats": Nothing,
    "backup": BackupParameters,
}


class Start(BaseModel):
    """`{op: job.start, kind, parameters, actor}`."""

    kind: Literal["verify", "stats", "backup"]
    parameters: dict[str, Any] = Field(default_factory=dict)
    actor: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Which(BaseModel):
    """`{op: job.show | job.cancel, job_id}`."""

    job_id: Annotated[str, StringConstraints(min_length=1, max_length=100)]


OPERATIONS = frozenset({"job.start", "job.show", "job.list", "job.cancel"})
ASKERS = frozenset({"gateway", "cli", "demo"})


class Jobs:
    """What this journal does for the board: it answers, and keeps workers going."""

    def __init__(self, board: Board, launch: Launch) -> None:
        self._board, self._launch = board, launch
        self._news = asyncio.Event()
        self._at_work: dict[str, asyncio.Task[None]] = {}

    async def answer(self, user: str | None, question: Any) -> bytes:
        """Answer one question about jobs, as JSON; raises Refused, NotFound, ValidationError."""
        if user not in ASKERS:
            raise Refused(f"op: {user} starts no jobs")
        operation = question["op"]
        if operation == "job.list":
            return b"[" + b",".join(job.as_json() for job in await self._board.jobs()) + b"]"
        if operation == "job.start":
            return (await self._start(Start.model_validate(question))).as_json()
        job_id = Which.model_validate(question).job_id
        if operation == "job.cancel":
            await self._board.cancel(job_id)
        job = await self._board.job(job_id)
        if job is None:
            raise NotFound(f"job_id: there is no job {job_id}")
        return job.as_json()

    async def _start(self, asked: Start) -> Job:
        parameters = PARAMETERS[asked.kind].model_validate(asked.parameters).model_dump()
        job = await self._board.put(Job(new_id("job"), asked.kind, parameters, asked.actor))
        if job.parameters != parameters:
            raise Refused(f"kind: {job.job_id} is another {asked.kind} and not at its end yet")
        self._news.set()
        return job

    async def run(self) -> None:
        """See to it that every job has a worker, for ever."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()
                self._news.clear()
                try:
                    await self._look()
                except Unavailable as error:
                    log.info("jobs: looking again", because=error.detail)
                    await asyncio.sleep(RETRY_S)
        finally:
            at_work = list(self._at_work.values())
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

    async def _look(self) -> None:
        while len(self._at_work) < AT_ONCE:
            job_id = await self._board.open_job()
            if job_id is None or job_id in self._at_work:
                return
            task = asyncio.ensure_future(self._launch(job_id))
            self._at_work[job_id] = task
            task.add_done_callback(partial(self._ended, job_id))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._at_work.pop(job_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a worker failed; its job is tried again", job_id=job_id, exc_info=error)


async def work(board: Board, kinds: Mapping[str, Kind], job_id: str) -> None:
    """Claim one job and do it to its end; raises Unavailable when it must be tried again."""
    worker = uuid7()
    job = await board.claim(job_id, worker)
    if job is None:
        return
    progress: dict[str, Any] = {}

    def tell(done: int, total: int, what: str) -> None:
        progress.update(done=done, total=total, what=what)

    log.info("job begins", job_id=job_id, kind=job.kind, actor=job.actor, attempt=job.attempts)
    working = asyncio.ensure_future(kinds[job.kind](job.parameters, tell))
    try:
        ended = await _watched(working, board, (job_id, worker), progress)
    finally:
        working.cancel()
        await asyncio.wait({working})
    if ended is not None:
        log.info("job ended", job_id=job_id, kind=job.kind, state=ended.state, why=ended.problem)
        await board.beat(job_id, worker, progress)
        await board.finish(job_id, worker, ended)


async def _watched(
    working: asyncio.Future[Mapping[str, Any]],
    board: Board,
    who: tuple[str, str],
    progress: Mapping[str, Any],
) -> Ended | None:
    """Return what became of the work; None when somebody else has it by now."""
    while not (await asyncio.wait({working}, timeout=BEAT_S))[0]:
        try:
            is_to_end = await board.beat(*who, progress)
        except Unavailable as error:
            log.info("job: saying so again", because=error.detail)
            continue
        if is_to_end is None:
            return None
        if is_to_end:
            return Ended("cancelled")
    try:
        return Ended("done", await working)
    except Unavailable:
        raise
    except QuartermasterError as error:
        return Ended("failed", problem=error.detail)
    except Exception as error:
        log.exception("job failed", job_id=who[0])
        return Ended("failed", problem=repr(error))
