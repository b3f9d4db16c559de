"""Rows 9, 11 and 14 to 20: the journal dies, is doubled, is not heard, is flooded."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import psutil

from services.chassis.errors import QuartermasterError, Refused, Unavailable
from services.chassis.ids import uuid7
from tests.e2e.fleet import AGAIN, eventually, retried
from tests.faults.following import (
    GATEWAY,
    SAMPLER,
    a_sample,
    an_environment,
    connected,
    proposer,
    reading,
)
from tests.faults.proxy import Answerless, FaultProxy, swallowing
from tests.faults.registry import row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from contracts.envelope import Draft
    from services.chassis.proposer import Accepted
    from tests.faults.ground import Ground

KILLS, PROPOSALS = 4, 80
TAKEN_OVER_WITHIN_S = 45.0
LOCK = 7306086854203
HELD_S = 8.0
READERS = 6
FLOOD, AT_ONCE, TELEMETRY = 400, 40, 4000
TOO_MANY = 429


async def _once_each(ground: Ground, drafts: Sequence[Draft]) -> None:
    """Nothing accepted is missing, nothing is there twice."""
    recorded = [event["stream"] for event in await ground.events("environment.created")]
    assert sorted(recorded) == sorted(set(recorded)), "a fact was recorded twice"
    missing = {draft.stream for draft in drafts} - set(recorded)
    assert not missing, f"{len(missing)} accepted facts are missing"


async def _storm(ground: Ground, name: str, moment: Callable[[], Awaitable[object]]) -> None:
    """Kill the journal again and again, at its worst moments, while proposals come all the time."""
    asked: list[asyncio.Task[Accepted]] = []
    drafts: list[Draft] = []
    async with connected(ground, GATEWAY) as of, reading(ground) as reader:
        async with ground.trial(name):
            asking = proposer(of)
            for _ in range(KILLS):
                wave = [an_environment() for _ in range(PROPOSALS // KILLS)]
                asked += [asyncio.create_task(asking.propose(draft)) for draft in wave]
                drafts += wave
                await moment()
                await ground.killed_and_back("journal")
            positions = {(await each).position for each in asked}
            assert len(positions) == len(drafts), "two proposals were given the same position"
        await _once_each(ground, drafts)
        head = await ground.head()
        await eventually(lambda: reader.has_reached(head), 20.0)


@row(
    9,
    "duplicate delivery",
    "applied once, answered with the same positions",
    f"SIGKILL of the journal {KILLS} times with {PROPOSALS} proposals in flight",
)
async def delivered_twice(ground: Ground) -> None:
    dice = random.Random(9)  # noqa: S311 (a seed replays it)
    await _storm(ground, "redelivered", lambda: asyncio.sleep(dice.uniform(0.0, 0.05)))


@row(
    11,
    "confirm or answer lost",
    "the same ids again, one event",
    "a proxy takes a proposal to the broker and cuts before anything comes back, five times",
)
async def confirm_lost(ground: Ground) -> None:
    line = await FaultProxy(ground.engines.amqp_port).start()
    drafts = [an_environment() for _ in range(5)]
    async with connected(ground, GATEWAY, line) as of, ground.trial("confirm-lost"):
        for draft in drafts:
            line.rule = lost = Answerless(draft.stream.encode())
            await proposer(of).propose(draft)
            assert lost.done.is_set(), "nothing was lost"
    await line.close()
    await _once_each(ground, drafts)


@row(
    14,
    "journal killed after commit, after publish, before its answer",
    "republished from the cursor, once downstream; redelivered proposals get their positions",
    "SIGKILL the moment the log has grown, four times; failpoints in memory (tests)",
    tests=(
        "tests/unit/journal/test_killed.py::test_a_journal_killed_again_and_again_loses_nothing_and_doubles_nothing",
    ),
)
async def after_commit(ground: Ground) -> None:
    async def head() -> int:
        return int(await ground.sql("select log.head()"))

    async def grown() -> None:
        before = await head()
        while await head() == before:
            await asyncio.sleep(0)

    await _storm(ground, "after-commit", grown)


@row(
    15,
    "two journals at once, one a zombie",
    "positions stay dense, readers see a prefix, the zombie only repeats",
    "a second journal; SIGSTOP of the first until the other took over, then SIGCONT",
    tests=(
        "tests/integration/test_postgres_log.py::test_two_journals_at_once_keep_positions_dense",
    ),
)
async def two_journals(ground: Ground) -> None:
    async with ground.another("journal"), reading(ground) as reader:
        async with (
            ground.trial("two-journals") as trial,
            ground.frozen(ground.process("journal")),
        ):
            begun = time.monotonic()
            async with asyncio.timeout(TAKEN_OVER_WITHIN_S):
                await ground.command("taken-over", "writer")
            taken_over_s = time.monotonic() - begun
        trial.recovery_s = max(trial.recovery_s, taken_over_s)
        head = await ground.head()
        await eventually(lambda: reader.has_reached(head), 20.0)


@row(
    16,
    "frozen while holding the log's lock",
    "others give up in time and come again; nothing is half recorded; reads go on",
    f"SIGSTOP of a PostgreSQL backend that holds the lock, for {HELD_S:g} s",
)
async def lock_held(ground: Ground) -> None:
    async with ground.trial("lock-held", kill_worker=False), ground.session() as session:
        await session.execute(f"select pg_advisory_xact_lock({LOCK})")
        async with ground.frozen(psutil.Process(session.info.backend_pid)):
            await ground.reads_go_on(HELD_S)


@row(
    17,
    "answer lost, the proposer gives up; an id with other content",
    "asked again later it gets the same answer; the other content is refused",
    "a line that swallows all that comes back",
)
async def answer_lost(ground: Ground) -> None:
    line = await FaultProxy(ground.engines.amqp_port).start()
    draft, ids = an_environment(), [uuid7()]
    async with (
        connected(ground, GATEWAY, line) as deaf,
        connected(ground, GATEWAY) as of,
        ground.trial("answer-lost"),
    ):
        line.rule = swallowing("to_client")
        try:
            await proposer(deaf, patience_s=3.0).propose(draft, event_ids=ids)
            raise AssertionError("it was answered through a deaf line")
        except Unavailable:
            line.up()
        first = await proposer(of).propose(draft, event_ids=ids)
        again = await proposer(of).propose(draft, event_ids=ids)
        assert (again.positions, again.duplicate) == (first.positions, True)
        try:
            await proposer(of).propose(an_environment(), event_ids=ids)
            raise AssertionError("an id was taken again with other content")
        except Refused:
            pass
    await line.close()
    await _once_each(ground, [draft])


@row(
    18,
    "history while the log grows",
    "whoever begins whenever gets all, without a gap and without a double",
    f"{READERS} readers that begin at random moments of a batch",
)
async def history_live(ground: Ground) -> None:
    dice = random.Random(18)  # noqa: S311 (a seed replays it)
    async with AsyncExitStack() as stack:
        readers = []
        async with ground.trial("history-live"):
            for _ in range(READERS):
                readers.append(await stack.enter_async_context(reading(ground)))
                await asyncio.sleep(dice.uniform(0.0, 0.5))
        head = await ground.head()
        await eventually(lambda: all(each.has_reached(head) for each in readers), 20.0)


@row(
    19,
    "snapshot corrupt, of an older shape, deleted",
    "it is passed over and the state folded anew: the same state",
    "a byte of every chunk is flipped and the scheduler killed; the others by tests",
    tests=(
        "tests/integration/test_snapshots.py::TestSnapshots::test_a_damaged_snapshot_is_passed_over_and_said_so",
        "tests/integration/test_snapshots.py::TestSnapshots::test_deleting_snapshots_changes_nothing_but_time",
        "tests/integration/test_snapshots.py::TestSnapshots::test_a_fold_of_another_shape_or_configuration_ignores_it",
    ),
)
async def snapshot_damaged(ground: Ground) -> None:
    often = {"QM_SNAPSHOT_EVERY_EVENTS": "10", "QM_SNAPSHOT_INTERVAL": "1"}
    await ground.begin_anew("scheduler", often)
    kept = "select count(*) from log.snapshots where service = 'scheduler'"

    async def is_kept() -> bool:
        await ground.command(f"snapshot-{uuid7()}", "writer")
        return int(await ground.sql(kept)) > 0

    await eventually(is_kept, 30.0)
    async with ground.trial("snapshot-damaged"):
        await ground.sql(
            "set session_replication_role = replica; update log.snapshot_chunks"
            " set body = set_byte(body, 20, get_byte(body, 20) # 1) where service = 'scheduler'"
        )
        await ground.killed_and_back("scheduler")
    await ground.begin_anew("scheduler", {})


@row(
    20,
    "flood of proposals",
    "answered, or refused with 429 or 503; nothing accepted is dropped",
    f"{FLOOD} commands, {AT_ONCE} at once, and {TELEMETRY} samples",
)
async def flood(ground: Ground) -> None:
    taken, free = [], asyncio.Semaphore(AT_ONCE)

    async def create(name: str) -> None:
        async with free:
            answer = await ground.http.post("/environments", json={"name": name}, timeout=40.0)
        assert answer.is_success or answer.status_code in {*AGAIN, TOO_MANY}, answer.text
        if answer.is_success:
            taken.append(answer.json()["data"]["id"])

    async with connected(ground, SAMPLER) as of, ground.trial("flood"):
        telemetry = [[a_sample()] for _ in range(TELEMETRY)]
        samples = asyncio.create_task(proposer(of, SAMPLER).propose_all(telemetry))
        await asyncio.gather(*(create(f"flood-{uuid7()}") for _ in range(FLOOD)))
        refused = [each for each in await samples if isinstance(each, QuartermasterError)]
        assert not refused, f"{len(refused)} samples were refused"
    recorded = {
        event["data"]["environment_id"] for event in await ground.events("environment.created")
    }
    assert taken, "nothing was accepted"
    assert set(taken) <= recorded, "an accepted command is not in the log"
    await retried(lambda: ground.api("GET", "/environments?limit=1"))
