"""Node monitor and deployer with the journal, on the real broker and the real database."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

from contracts.envelope import Draft, Lease
from contracts.events import instance as i
from contracts.events import node as n
from contracts.events.control import LeaseAcquired
from contracts.types import Launch, Reason
from services.chassis import bus as rabbit
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.follower import Follower
from services.chassis.health import Health
from services.chassis.proposer import Proposer
from services.chassis.run import Context
from services.deployer.service import deploy
from services.deployer.settings import Settings as DeployerSettings
from services.journal.adapters.postgres import PostgresLog
from services.journal.handlers import Journal
from services.node_monitor.service import watch
from services.node_monitor.settings import Settings as MonitorSettings
from tests.fake_agent import FakeAgent
from tests.in_memory import ended, until

REASON = Reason(code="busy")
CLOCK = SystemClock()


@asynccontextmanager
async def running(broker, service, doing):
    bus = await rabbit.connect(service, broker.url(service))
    task = asyncio.create_task(doing(bus))
    try:
        yield bus
    finally:
        await ended(task)
        await bus.close()


@asynccontextmanager
async def journal(broker, database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=4)
    try:
        async with running(
            broker, "journal", lambda bus: Journal(bus, PostgresLog(pool), CLOCK).run()
        ):
            yield
    finally:
        await pool.close()


def context(service):
    return Context(service, CLOCK, asyncio.Event(), Health(service), None)


async def test_a_registered_node_serves_and_its_lost_worker_is_told(broker, database):
    heard = []
    types = frozenset({"node.came_online", "instance.started", "instance.died", "instance.stopped"})

    async def listen(bus):
        async for batch in Follower(bus, "alerter", types, CLOCK).batches():
            heard.extend(batch)

    async def told(type_, count=1):
        await until(lambda: [e.type for e in heard].count(type_) >= count)

    fast = {"node_status_refresh_interval": 5.0, "node_probe_interval": 0.2}
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(FakeAgent())
        await stack.enter_async_context(journal(broker, database))
        await stack.enter_async_context(running(broker, "alerter", listen))
        await stack.enter_async_context(
            running(
                broker,
                "node_monitor",
                lambda bus: watch(context("node_monitor"), bus, MonitorSettings(**fast)),
            )
        )
        await stack.enter_async_context(
            running(
                broker, "deployer", lambda bus: deploy(context("deployer"), bus, DeployerSettings())
            )
        )
        await register(broker, agent.url)
        await told("node.came_online")

        scheduler = await rabbit.connect("scheduler", broker.url("scheduler"))
        stack.push_async_callback(scheduler.close)
        decides = Proposer(scheduler, "scheduler", CLOCK)
        taken = LeaseAcquired(name="scheduler", epoch=1, holder="a test")
        await decides.propose(Draft("lease/scheduler", taken, expected_version=0))
        lease = Lease("scheduler", 1)
        for number in (0, 1):
            await decides.propose(start_requested(number), lease=lease)
        await told("instance.started", 2)
        await agent.move("i-0", "exited", exit_code=1)
        await told("instance.died")
        await decides.propose(stop_requested(1), lease=lease)
        await told("instance.stopped")
    assert agent.starts == {"i-0": 1, "i-1": 1}


async def register(broker, url):
    bus = await rabbit.connect("gateway", broker.url("gateway"))
    node = n.NodeRegistered(node_id="node-1", environment_id="e", name="node-1", agent_url=url)
    await Proposer(bus, "gateway", CLOCK).propose(Draft("node/node-1", node))
    await bus.close()


def start_requested(number):
    event = i.InstanceStartRequested(
        instance_id=f"i-{number}",
        model_id="m",
        model_name="llama",
        node_id="node-1",
        gpu_uuid=f"GPU-{number}",
        gpu_index=number,
        boot_id="boot-1",
        launch=Launch(template="echo"),
        epoch=1,
        reason=REASON,
    )
    return Draft(f"instance/i-{number}", event, expected_version=0)


def stop_requested(number):
    event = i.InstanceStopRequested(
        instance_id=f"i-{number}",
        model_id="m",
        node_id="node-1",
        gpu_uuid=f"GPU-{number}",
        epoch=1,
        reason=REASON,
    )
    return Draft(f"instance/i-{number}", event)
