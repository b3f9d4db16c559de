"""The node monitor against agents over real HTTP, with broker and log in memory."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from contracts.envelope import Draft
from contracts.events import instance as i
from contracts.events import node as n
from contracts.types import Launch, Reason
from services.node_monitor.service import watch
from services.node_monitor.settings import Settings
from tests.fake_agent import FakeAgent, gpu
from tests.in_memory import a_world, ended, until

FAST = {
    "node_status_refresh_interval": 0.5,
    "node_probe_interval": 0.1,
    "node_silent_after": 1.0,
    "agent_answer_within": 0.4,
}


@pytest.fixture
async def world():
    async with a_world() as made:
        yield made


@asynccontextmanager
async def monitoring(world, **settings):
    bus = world.broker.bus("node_monitor")
    task = asyncio.create_task(
        watch(world.context("node_monitor"), bus, Settings(**{**FAST, **settings}))
    )
    try:
        yield task
    finally:
        await ended(task)
        await bus.close()


async def register(world, node_id, url):
    event = n.NodeRegistered(node_id=node_id, environment_id="e", name=node_id, agent_url=url)
    await world.record("gateway", Draft(f"node/{node_id}", event))


async def requested(world, instance_id="i-1", boot_id="boot-1", gpu_uuid="GPU-0"):
    event = i.InstanceStartRequested(
        instance_id=instance_id,
        model_id="m",
        model_name="llama",
        node_id="node-1",
        gpu_uuid=gpu_uuid,
        gpu_index=0,
        boot_id=boot_id,
        launch=Launch(template="echo"),
        reason=Reason(code="busy"),
    )
    await world.as_leader("scheduler", Draft(f"instance/{instance_id}", event))


async def started(world, instance_id="i-1", pid=1001):
    event = i.InstanceStarted(
        instance_id=instance_id, model_id="m", node_id="node-1", gpu_uuid="GPU-0", pid=pid
    )
    await world.as_leader("deployer", Draft(f"instance/{instance_id}", event))


async def test_a_node_that_answers_comes_online_with_its_inventory_and_is_reported(world):
    async with FakeAgent() as agent, monitoring(world):
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeCameOnline, node_id="node-1"))
        inventory = world.facts(n.NodeInventoryChanged)[0]
        assert [g.uuid for g in inventory.gpus] == ["GPU-0", "GPU-1"]
        assert (inventory.boot_id, inventory.supported_models) == ("boot-1", ("*",))
        await until(lambda: len(world.facts(n.NodeReported)) >= 2)


async def test_a_change_is_reported_at_once(world):
    async with FakeAgent() as agent, monitoring(world, node_status_refresh_interval=60.0):
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeReported))
        agent.gpus = [gpu(0, (4711,)), gpu(1)]
        await agent.touch()
        await until(lambda: len(world.facts(n.NodeReported)) == 2)
        assert world.facts(n.NodeReported)[1].gpus[0].foreign_pids == (4711,)


async def test_a_silent_node_goes_offline_and_returns_and_is_reported_at_once(world):
    async with FakeAgent() as agent, monitoring(world, node_status_refresh_interval=60.0):
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeCameOnline))
        port = agent.port
        await agent.close()
        offline = (await until(lambda: world.facts(n.NodeWentOffline)))[0]
        assert offline.silent_s >= 1.0
        assert offline.error
        assert offline.last_seen_at is not None
        before = len(world.facts(n.NodeReported))
        await agent.listen(port)
        await until(lambda: len(world.facts(n.NodeCameOnline)) == 2)
        await until(lambda: len(world.facts(n.NodeReported)) > before)


@pytest.mark.parametrize("mode", ["silent", "garbage", "huge", "trickle", "refuse"])
async def test_a_mad_agent_delays_nobody_and_goes_offline(world, mode):
    async with AsyncExitStack() as stack:
        mad = await stack.enter_async_context(FakeAgent(mode=mode))
        good = [await stack.enter_async_context(FakeAgent()) for _ in range(4)]
        await stack.enter_async_context(monitoring(world))
        await register(world, "mad", mad.url)
        for n_, agent in enumerate(good):
            await register(world, f"good-{n_}", agent.url)
        await until(lambda: len(world.facts(n.NodeCameOnline)) == 4)
        await until(lambda: world.facts(n.NodeWentOffline, node_id="mad"))
        await until(lambda: len(world.facts(n.NodeReported)) >= 8)
        assert len(world.facts(n.NodeWentOffline)) == 1
        assert not world.facts(n.FleetSilenceSuspected)


async def test_an_address_outside_of_the_allowed_networks_is_not_contacted(world):
    async with FakeAgent() as agent, monitoring(world, agent_networks=("10.0.0.0/8",)):
        await register(world, "node-1", agent.url)
        offline = (await until(lambda: world.facts(n.NodeWentOffline)))[0]
        assert "in no network" in offline.error
        assert agent.requests == []


async def test_an_agent_is_spoken_to_with_our_token(world):
    async with FakeAgent(token="s3cret") as agent, monitoring(world, agent_token="s3cret"):
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeCameOnline))


async def test_a_worker_that_exits_has_died_with_its_last_lines(world):
    async with FakeAgent() as agent, monitoring(world):
        await agent.put("i-1")
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeCameOnline))
        await requested(world)
        await started(world)
        await agent.move("i-1", "exited", exit_code=137, log_tail="out of memory")
        died = (await until(lambda: world.facts(i.InstanceDied)))[0]
        assert (died.because, died.exit_code, died.log_tail) == ("exited", 137, "out of memory")


async def test_a_started_worker_that_its_agent_forgets_is_lost(world):
    async with FakeAgent() as agent, monitoring(world):
        await agent.put("i-1")
        await register(world, "node-1", agent.url)
        await requested(world)
        await started(world)
        await until(lambda: world.facts(n.NodeCameOnline))
        await agent.forget("i-1")
        died = (await until(lambda: world.facts(i.InstanceDied)))[0]
        assert died.because == "lost"


async def test_a_reboot_ends_what_ran_before_it(world):
    async with FakeAgent() as agent, monitoring(world):
        await agent.put("i-1")
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeCameOnline))
        await requested(world)
        await started(world)
        await agent.reboot("boot-2")
        died = (await until(lambda: world.facts(i.InstanceDied)))[0]
        assert died.because == "rebooted"
        assert world.facts(n.NodeInventoryChanged)[-1].boot_id == "boot-2"


async def test_a_silent_node_keeps_its_instances(world):
    async with FakeAgent() as agent, monitoring(world):
        await agent.put("i-1")
        await register(world, "node-1", agent.url)
        await until(lambda: world.facts(n.NodeCameOnline))
        await requested(world)
        await started(world)
        await agent.close()
        await until(lambda: world.facts(n.NodeWentOffline))
        assert not world.facts(i.InstanceDied)


async def test_when_most_nodes_fall_silent_we_suspect_ourselves_until_they_return(world):
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(FakeAgent()) for _ in range(4)]
        await stack.enter_async_context(monitoring(world))
        for n_, agent in enumerate(agents):
            await register(world, f"node-{n_}", agent.url)
        await until(lambda: len(world.facts(n.NodeCameOnline)) == 4)
        for agent in agents[:3]:
            await agent.close()
        suspected = (await until(lambda: world.facts(n.FleetSilenceSuspected)))[0]
        assert (suspected.silent, suspected.nodes) == (3, 4)
        assert not world.facts(n.NodeWentOffline)
        for agent in agents[:2]:
            await agent.listen(agent.port)
        await until(lambda: world.facts(n.FleetSilenceCleared))
        offline = (await until(lambda: world.facts(n.NodeWentOffline)))[0]
        assert offline.node_id == "node-2"


async def test_a_new_monitor_goes_on_where_the_last_one_ended(world):
    async with FakeAgent() as agent:
        await agent.put("i-1")
        await register(world, "node-1", agent.url)
        await requested(world)
        await started(world)
        async with monitoring(world):
            await until(lambda: world.facts(n.NodeCameOnline))
        await agent.move("i-1", "failed", exit_code=1)
        async with monitoring(world):
            await until(lambda: world.facts(i.InstanceDied))
        assert len(world.facts(n.NodeCameOnline)) == 1
        assert len(world.facts(n.NodeInventoryChanged)) == 1
