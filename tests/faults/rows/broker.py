"""Rows 1 to 7 and 13: the broker ends, freezes, blocks, loses queues; proposals are bad."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from deploy.local import processes
from deploy.rabbitmq.permissions import VHOST
from services.chassis import wire
from services.chassis.bus import declare
from services.chassis.ports import Message
from tests.e2e.fleet import eventually
from tests.faults.following import READER, SAMPLER, a_sample, connected, proposer, reading
from tests.faults.proxy import FaultProxy, faithful, slow
from tests.faults.registry import proven, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.ground import Ground

FROZEN_S = 60.0
SLOW_BYTES_A_SECOND = 8_000.0  # 64 kbit
ROOM_BYTES = 20_000
READERS_QUEUE = rf"^{READER}\..*\.recorded$"
# A queue hands 200 messages to a connection before it waits for it, and the system takes 2.5 MB
# (measured): more must come than that. The counts compared are up to a second apart.
ROUNDS, AT_ONCE = 700, 20
COUNTED_LATER = 50


@row(
    1,
    "broker stops, restarts",
    "buffers are bounded, the cursor republishes, nothing recorded is lost",
    "SIGTERM, then SIGKILL of the node; started again on its data",
)
async def stops(ground: Ground) -> None:
    for name, end in (("stopped", ground.broker.stop), ("killed", ground.broker.kill)):
        async with ground.trial(f"broker-{name}"):
            await asyncio.to_thread(end)
            await ground.restart_engines()


@row(
    2,
    "broker frozen",
    "a command is refused in time, reads go on, workers live; nothing stale lands",
    f"SIGSTOP of the node until a command was refused, and {FROZEN_S:g} s at least",
)
async def freezes(ground: Ground) -> None:
    recorded = processes.find(processes.recall(ground.broker.record))
    assert isinstance(recorded, psutil.Process)
    async with ground.trial("broker-frozen", kill_worker=False):
        alive = {worker.pid for worker in ground.workers()}
        async with ground.frozen(recorded):
            await asyncio.gather(ground.reads_go_on(FROZEN_S), ground.is_refused())
        assert alive == {worker.pid for worker in ground.workers()}, "workers ended"


@row(
    3,
    "disk alarm of the broker",
    "a command is refused in time, nothing hangs, nothing takes effect twice; webhooks are told",
    "rabbitmqctl set_disk_free_limit 9000GB, and back",
    tests=(
        "tests/integration/test_webhooks.py::test_when_the_log_falls_silent_webhooks_are_told_directly",
    ),
)
async def alarm(ground: Ground) -> None:
    async with ground.trial("disk-alarm", kill_worker=False):
        await ground.rabbitmqctl("set_disk_free_limit", "9000GB")
        try:
            await ground.is_refused()
        finally:
            await ground.rabbitmqctl("set_disk_free_limit", "200MB")


@row(
    4,
    "queue deleted under its consumer",
    "a new queue under a new name, the hole is filled from history",
    "rabbitmqctl delete_queue of every follower queue of scheduler, deployer and projector",
)
async def queues_deleted(ground: Ground) -> None:
    async with ground.trial("queues-deleted"):
        listed = (await ground.management("GET", f"/queues/{VHOST}?columns=name")).json()
        names = {each["name"] for each in listed}
        ours = ("scheduler.", "deployer.", "projector.")
        gone = {name for name in names if name.endswith(".recorded") and name.startswith(ours)}
        assert len(gone) >= len(ours), f"no follower queues among {names}"
        for name in gone:
            await ground.rabbitmqctl("delete_queue", name, "--vhost", VHOST)


@row(
    5,
    "unroutable proposal",
    "the proposer gets the error, and its repetition lands once",
    "the binding of the journal's queue is deleted, then declared again",
)
async def unroutable(ground: Ground) -> None:
    path = f"/bindings/{VHOST}/e/{wire.EXCHANGE_PROPOSED}/q/{wire.QUEUE_PROPOSED}/proposal"
    async with ground.trial("unroutable", kill_worker=False):
        (await ground.management("DELETE", path)).raise_for_status()
        try:
            await ground.is_refused()
        finally:
            await declare(ground.engines.amqp_url("journal"))


@row(
    6,
    "the handler of proposals raises",
    "proposals are held and come again; none is dropped, none is parked",
    "log.append is renamed in the database, and back",
)
async def handler_raises(ground: Ground) -> None:
    async with ground.trial("handler-raises", restless=("journal",), kill_worker=False):
        await ground.sql(_renamed("append", "append_away"))
        try:
            await ground.is_refused()
        finally:
            await ground.sql(_renamed("append_away", "append"))


def _renamed(name: str, other: str) -> str:
    """Return SQL that gives every function of a name in the log's schema another one."""
    return f"""
        do $$ declare f regprocedure; begin
          for f in select oid from pg_proc
                    where proname = '{name}' and pronamespace = 'log'::regnamespace loop
            execute format('alter function %s rename to {other}', f);
          end loop;
        end $$"""


@row(
    7,
    "poison proposal",
    "it is parked and raises an alert; others flow, nothing of it is recorded",
    "a body that is no JSON is proposed under an honest user",
)
async def poison(ground: Ground) -> None:
    before = await ground.head()
    async with ground.trial("poison"):
        async with connected(ground, "demo") as of:
            nonsense = Message(b"\x00no proposal")
            await of.publish(wire.EXCHANGE_PROPOSED, "proposal", nonsense, mandatory=True)
        await eventually(
            lambda: ground.recorded("alert.raised", before, rule="messages_parked"), 30.0
        )
        await ground.command("while-parked", "writer")
        parked = (await ground.api("GET", "/parked"))["data"]["items"]
        assert len(parked) == 1, parked
        path = f"/parked/{quote(parked[0]['id'])}/drop"
        await ground.api("POST", path, json={"because": "it was put there on purpose"})


proven(
    8,
    "event a fold cannot digest",
    "that follower stops and says so; only a recorded skip passes it; others go on",
    "a fold that raises, on real engines (tests)",
    "tests/integration/test_spine.py::TestSpine::test_a_fold_stops_at_what_it_cannot_digest_until_an_operator_lets_it_pass",
    "tests/integration/test_projector.py::test_an_indigestible_event_waits_for_its_recorded_skip",
)

proven(
    10,
    "runs reordered or lost, the tail lost",
    "a follower yields all in order and once; a beacon reveals the tail",
    "a broker in memory that drops and reorders (tests); real losses are rows 1, 4 and 13",
    "tests/unit/chassis/test_follower.py::test_every_event_comes_once_and_in_order_whatever_the_broker_does",
    "tests/unit/chassis/test_follower.py::test_what_is_recorded_while_following_is_found_though_its_run_is_lost",
)


@row(
    13,
    "slow link, backlog",
    "the oldest of a full queue is dropped, history fills the hole; nobody else waits",
    f"a reader behind {SLOW_BYTES_A_SECOND / 1000:g} kB/s, a queue of {ROOM_BYTES // 1000} kB for"
    f" it, {ROUNDS * AT_ONCE} events, then a fast line",
)
async def slow_link(ground: Ground) -> None:
    line = await FaultProxy(ground.engines.amqp_port, room_bytes=ROOM_BYTES).start()
    async with (
        less_room(ground),
        connected(ground, SAMPLER) as of,
        reading(ground, line) as reader,
    ):
        async with ground.trial("slow-link"):
            line.rule = slow(SLOW_BYTES_A_SECOND)
            sampler = proposer(of, SAMPLER)
            for _ in range(ROUNDS):
                await sampler.propose_all([[a_sample() for _ in range(AT_ONCE)]])
            await eventually(lambda: was_dropped(ground), 30.0)
        head = await ground.head()
        assert not reader.has_reached(head), "the line was not slow"
        line.rule = faithful
        await eventually(lambda: reader.has_reached(head), 60.0)
    await line.close()


@asynccontextmanager
async def less_room(ground: Ground) -> AsyncIterator[None]:
    """Give the reader's queue so little room that it overflows, for the length of a block."""
    room = {"max-length-bytes": ROOM_BYTES}
    await ground.rabbitmqctl(
        "set_policy",
        "-p",
        VHOST,
        "--apply-to",
        "queues",
        "less-room",
        READERS_QUEUE,
        json.dumps(room),
    )
    try:
        yield
    finally:
        await ground.rabbitmqctl("clear_policy", "-p", VHOST, "less-room")


async def was_dropped(ground: Ground) -> bool:
    """Tell whether the reader's queue lost messages that were neither delivered nor are there."""
    queues = (await ground.management("GET", f"/queues/{quote(VHOST, safe='')}")).json()
    mine = [each for each in queues if re.fullmatch(READERS_QUEUE, each["name"])]
    assert len(mine) == 1, "the reader has a queue for what is recorded, and one only"
    told = mine[0].get("message_stats", {})
    gone = told.get("publish", 0) - told.get("deliver_no_ack", 0) - mine[0].get("messages", 0)
    return int(gone) > COUNTED_LATER
