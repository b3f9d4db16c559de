"""Rows 39 to 44: two leaders, a dying projector, wrong clocks, no room, a changed log."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from typing import TYPE_CHECKING

from tests.e2e.fleet import eventually, retried
from tests.faults.registry import row

if TYPE_CHECKING:
    from tests.faults.ground import Ground

LED_WITHIN_S = 45.0
PROJECTOR_KILLS = 5
WRONG = ("node_monitor", "scheduler", "deployer", "alerter", "queue_sampler")
HOUR_S = 3600
STARVED = ("journal", "scheduler", "gateway", "query")
STARVED_S = 3.0
BACK_WITHIN_S = 30.0
SHIFTED = '''\
"""Puts a process's time of day forward or back, and lets its other clock begin elsewhere."""
import os
import time
from datetime import timedelta
from services.chassis.clock import SystemClock
shift_s = int(os.environ["QM_TEST_SHIFT_S"])
now, monotonic, ns = SystemClock.now, SystemClock.monotonic, time.time_ns
SystemClock.now = lambda self: now(self) + timedelta(seconds=shift_s)
SystemClock.monotonic = lambda self: monotonic(self) + 10 * HOUR + shift_s
time.time_ns = lambda: ns() + shift_s * 1_000_000_000
'''.replace("HOUR", str(HOUR_S))


@row(
    39,
    "two schedulers, the leader paused past its lease",
    "the other leads and acts; of the paused one nothing more is recorded",
    "a second scheduler; SIGSTOP of the first until the other leads, a worker dies, SIGCONT",
)
async def two_leaders(ground: Ground) -> None:
    before = await ground.head()
    async with ground.another("scheduler"):
        async with (
            ground.trial("two-schedulers") as trial,
            ground.frozen(ground.process("scheduler")),
        ):
            begun = time.monotonic()
            dead = await ground.kill_worker("node-1")
            await eventually(
                lambda: ground.recorded("lease.acquired", before, name="scheduler"), LED_WITHIN_S
            )
            await eventually(lambda: ground.is_replaced(dead), BACK_WITHIN_S)
            taken_over_s = time.monotonic() - begun
        trial.recovery_s = max(trial.recovery_s, taken_over_s)
    await eventually(ground.all_serve, BACK_WITHIN_S)


@row(
    40,
    "projector dies in the middle of a batch; two projectors",
    "rows and checkpoint move together; a fold from the beginning gives the same bytes",
    f"SIGKILL {PROJECTOR_KILLS} times under load, then a comparison; two of them by tests",
    tests=(
        "tests/integration/test_projector.py::test_a_projector_killed_over_and_over_ends_with_what_one_go_makes",
        "tests/integration/test_projector.py::test_of_two_projectors_at_once_one_is_fenced_and_nothing_is_doubled",
    ),
)
async def projector_dies(ground: Ground) -> None:
    dice = random.Random(40)  # noqa: S311 (a seed replays it)
    async with ground.trial("projector-dies"):
        for _ in range(PROJECTOR_KILLS):
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            await ground.killed_and_back("projector")
    await ground.read_models_are_the_log()


@row(
    41,
    "clocks an hour ahead and an hour behind",
    "no lease, no decision and no history changes; time is the log's",
    "every deciding service begins with its time of day and the base of its monotonic clock"
    " shifted, every agent with its own the other way; then all rightly again",
)
async def wrong_clocks(ground: Ground) -> None:
    told = ground.shim("shifted", SHIFTED)
    agents = [node.name for node in ground.platform.nodes]
    for shift_s in (HOUR_S, -HOUR_S):
        shifts = dict.fromkeys(WRONG, shift_s) | dict.fromkeys(agents, -shift_s)
        async with ground.trial(f"clock{shift_s:+d}"):
            for part, by_s in shifts.items():
                await ground.begin_anew(part, {**told, "QM_TEST_SHIFT_S": str(by_s)})
    async with ground.trial("clock-right"):
        for part in (*WRONG, *agents):
            await ground.begin_anew(part, {})


@row(
    42,
    "out of file descriptors, out of memory",
    "whoever has no room says so or ends; with room it is back",
    "prlimit: no further descriptor and cut connections; then no further memory",
)
async def starved(ground: Ground) -> None:
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS):
        async with ground.trial(f"starved-{limit}", restless=STARVED):
            processes = [ground.process(part) for part in STARVED]
            before = [process.rlimit(limit) for process in processes]
            for process in processes:
                least = 3 if limit == resource.RLIMIT_NOFILE else process.memory_info().rss
                process.rlimit(limit, (least, before[0][1]))
            await ground.cut_connections()
            await asyncio.sleep(STARVED_S)
            for process, room in zip(processes, before, strict=True):
                if process.is_running():
                    process.rlimit(limit, room)


@row(
    44,
    "a byte flipped in the log",
    "log verify names the event",
    "an UPDATE as superuser past the triggers, and back",
    tests=("tests/integration/test_postgres_log.py::test_verification_names_a_flipped_byte",),
)
async def flipped(ground: Ground) -> None:
    victim = int(
        await ground.sql(
            "select position from log.facts where type = 'model.updated'"
            " order by position desc limit 1"
        )
    )
    past = "set session_replication_role = replica; update log.facts set data ="
    change = "replace(data::text, '{0}', '{1}')::json where position = " + str(victim)
    there, other = '"description"', '"descriptiom"'
    async with ground.trial("flipped"):
        await ground.sql(f"{past} {change.format(there, other)}")
        try:
            report = (await retried(lambda: ground.api("POST", "/log/verify")))["data"]
            assert (report["ok"], report["position"]) == (False, victim), report
        finally:
            await ground.sql(f"{past} {change.format(other, there)}")
