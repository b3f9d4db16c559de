"""The deployer against agents over real HTTP, with broker, log and vault in memory."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import orjson
import pytest

from contracts.envelope import Draft
from contracts.events import instance as i
from contracts.events import node as n
from contracts.types import Launch, QueueAddress, Reason, SecretRef
from services.chassis.sealed import seal
from services.deployer.service import deploy
from services.deployer.settings import Settings
from tests.fake_agent import FakeAgent, gpu
from tests.in_memory import a_world, ended, until

REASON = Reason(code="busy")
FAST = {"deploy_retry_interval": 0.1, "agent_answer_within": 0.4, "deploy_stop_grace": 0.2}


@pytest.fixture
async def world():
    async with a_world() as made:
        yield made


@pytest.fixture
async def agent():
    async with FakeAgent() as made:
        yield made


@asynccontextmanager
async def deploying(world, **settings):
    bus = world.broker.bus("deployer")
    doing = deploy(world.context("deployer"), bus, Settings(**{**FAST, **settings}))
    task = asyncio.create_task(doing)
    try:
        yield task
    finally:
        await ended(task)
        await bus.close()


async def register(world, url, node_id="node-1"):
    event = n.NodeRegistered(node_id=node_id, environment_id="e", name=node_id, agent_url=url)
    await world.record("gateway", Draft(f"node/{node_id}", event))


async def move(world, url):
    event = n.NodeUpdated(node_id="node-1", environment_id="e", name="node-1", agent_url=url)
    await world.record("gateway", Draft("node/node-1", event))


async def request_start(world, instance_id="i-1", **fields):
    asked = {
        "instance_id": instance_id,
        "model_id": "m",
        "model_name": "llama",
        "node_id": "node-1",
        "gpu_uuid": "GPU-0",
        "gpu_index": 0,
        "boot_id": "boot-1",
        "launch": Launch(template="echo"),
        "epoch": 1,
        "reason": REASON,
    }
    event = i.InstanceStartRequested(**{**asked, **fields})
    await world.as_leader("scheduler", Draft(f"instance/{instance_id}", event))


async def request_stop(world, instance_id="i-1", gpu_uuid="GPU-0"):
    event = i.InstanceStopRequested(
        instance_id=instance_id,
        model_id="m",
        node_id="node-1",
        gpu_uuid=gpu_uuid,
        epoch=1,
        reason=REASON,
    )
    await world.as_leader("scheduler", Draft(f"instance/{instance_id}", event))


async def test_a_wanted_instance_is_started_and_ended(world, agent):
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        started = (await until(lambda: world.facts(i.InstanceStarted)))[0]
        assert (started.pid, started.node_id) == (1001, "node-1")
        await request_stop(world)
        stopped = (await until(lambda: world.facts(i.InstanceStopped)))[0]
        assert stopped.exit_code == 0


async def test_a_worker_that_loads_is_waited_for(world, agent):
    agent.auto_ready = False
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: agent.asked("start"))
        assert not world.facts(i.InstanceStarted)
        await agent.move("i-1", "ready", load_s=2.5, endpoint="http://127.0.0.1:1")
        started = (await until(lambda: world.facts(i.InstanceStarted)))[0]
        assert (started.load_s, started.endpoint) == (2.5, "http://127.0.0.1:1")


async def test_a_worker_that_dies_while_loading_has_failed_with_its_last_lines(world, agent):
    agent.auto_ready = False
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: "i-1" in agent.instances)
        await agent.move("i-1", "failed", exit_code=1, log_tail="CUDA out of memory")
        failed = (await until(lambda: world.facts(i.InstanceStartFailed)))[0]
        assert failed.code == "exited"
        assert "CUDA out of memory" in failed.error


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"gpu_uuid": "GPU-1"}, "refused_gpu_held"),
        ({"boot_id": "boot-0"}, "other_boot"),
        ({"launch": Launch(template="missing")}, "unknown_template"),
    ],
)
async def test_a_refused_start_has_failed(world, agent, fields, code):
    await agent.put("i-0", gpu_uuid="GPU-1")
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world, **fields)
        failed = (await until(lambda: world.facts(i.InstanceStartFailed)))[0]
        assert failed.code == code


async def test_an_agent_that_does_not_answer_is_no_failure(world, agent):
    agent.mode = "silent"
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await asyncio.sleep(1.5)
        assert not world.facts(i.InstanceStartFailed)
        agent.mode = "ok"
        await until(lambda: world.facts(i.InstanceStarted))


async def test_a_silent_node_delays_nobody(world, agent):
    async with FakeAgent(node_id="node-2", mode="silent") as silent, deploying(world):
        await register(world, agent.url)
        await register(world, silent.url, "node-2")
        for n_ in range(5):
            await request_start(world, f"i-s{n_}", node_id="node-2", gpu_uuid=f"GPU-s{n_}")
        await request_start(world)
        await until(lambda: world.facts(i.InstanceStarted))


async def test_a_start_whose_answer_was_lost_is_not_done_twice(world, agent):
    agent.lost["start"] = 3
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: world.facts(i.InstanceStarted))
    assert agent.asked("start") == 4
    assert agent.starts["i-1"] == 1


async def test_a_stop_whose_answer_was_lost_is_asked_again(world, agent):
    agent.lost["stop"] = 3
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: world.facts(i.InstanceStarted))
        await request_stop(world)
        await until(lambda: world.facts(i.InstanceStopped))
    assert agent.asked("stop") == 4
    assert len(world.facts(i.InstanceStopped)) == 1


async def test_a_stop_is_never_assumed(world, agent):
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: world.facts(i.InstanceStarted))
        agent.mode = "silent"
        await request_stop(world)
        await asyncio.sleep(1.5)
        assert not world.facts(i.InstanceStopped)
        agent.mode = "ok"
        await until(lambda: world.facts(i.InstanceStopped))


async def test_a_stop_wins_over_a_start_that_is_not_finished(world, agent):
    agent.auto_ready = False
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: agent.asked("start"))
        await request_stop(world)
        await until(lambda: world.facts(i.InstanceStopped))
    assert not world.facts(i.InstanceStarted)
    assert agent.instances["i-1"]["report"]["state"] == "exited"


async def test_a_forgotten_worker_that_still_holds_its_gpu_is_not_stopped(world, agent):
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        pid = (await until(lambda: world.facts(i.InstanceStarted)))[0].pid
        agent.gpus[0]["foreign_pids"] = [pid]
        await agent.forget("i-1")
        await request_stop(world)
        await until(lambda: agent.asked("stop") >= 2)
        assert not world.facts(i.InstanceStopped)
        agent.gpus[0]["foreign_pids"] = []
        await until(lambda: world.facts(i.InstanceStopped))


async def test_a_worker_that_is_never_ready_is_ended_and_has_failed(world, agent):
    agent.auto_ready = False
    async with deploying(world, deploy_ready_within=0.5):
        await register(world, agent.url)
        await request_start(world)
        failed = (await until(lambda: world.facts(i.InstanceStartFailed)))[0]
        assert failed.code == "ready_timeout"
        assert agent.instances["i-1"]["report"]["state"] == "exited"


async def test_a_new_deployer_goes_on_where_the_last_one_ended(world, agent):
    agent.auto_ready = False
    await register(world, agent.url)
    await request_start(world, "i-1")
    await request_start(world, "i-2", gpu_uuid="GPU-1")
    async with deploying(world):
        await until(lambda: len(agent.instances) == 2)
    assert not world.facts(i.InstanceStarted)
    await agent.move("i-1", "ready")
    await request_stop(world, "i-2", "GPU-1")
    async with deploying(world):
        await until(lambda: world.facts(i.InstanceStarted, instance_id="i-1"))
        await until(lambda: world.facts(i.InstanceStopped, instance_id="i-2"))
    assert agent.starts == {"i-1": 1, "i-2": 1}


async def test_a_process_is_killed_when_asked(world, agent):
    async with deploying(world):
        await register(world, agent.url)
        asked = n.ProcessKillAsked(node_id="node-1", pid=4711)
        await world.record("gateway", Draft("process/node-1", asked))
        killed = (await until(lambda: world.facts(n.ProcessKilled)))[0]
        assert (killed.pid, killed.found) == (4711, True)
    assert agent.killed == [4711]


async def test_an_order_to_kill_that_cannot_be_given_soon_is_given_up(world, agent):
    agent.mode = "silent"
    async with deploying(world, deploy_kill_within=0.5):
        await register(world, agent.url)
        asked = n.ProcessKillAsked(node_id="node-1", pid=4711)
        await world.record("gateway", Draft("process/node-1", asked))
        await until(lambda: world.facts(n.ProcessKillFailed))
    assert agent.killed == []


@asynccontextmanager
async def a_vault(world, password, answers_after=0):
    """Answer as the vault does; the first questions may go unanswered."""
    bus = world.broker.bus("vault")
    inbox = await bus.consume("vault.asked", prefetch=10)
    asked = []

    async def serve():
        async for delivery in inbox:
            question = orjson.loads(delivery.body)
            asked.append(question)
            await delivery.ack()
            if len(asked) <= answers_after:
                await bus.answer(delivery, b"", {"error": "unavailable"})
                continue
            if password is None:
                await bus.answer(delivery, b"", {"error": "not_found"})
                continue
            key = base64.b64decode(question["public_key"])
            sealed = base64.b64encode(seal(key, password.encode())).decode()
            await bus.answer(delivery, orjson.dumps({"sealed": sealed}), {})

    task = asyncio.create_task(serve())
    try:
        yield asked
    finally:
        await ended(task)
        await bus.close()


QUEUE = QueueAddress(
    host="rabbit",
    amqp_port=5673,
    name="llama",
    username="worker",
    password=SecretRef(secret_id="s-1", version=2),
)


async def test_a_worker_is_told_its_queue_and_nobody_else_is(world, agent, caplog):
    async with a_vault(world, "hunter2", answers_after=2) as asked, deploying(world):
        await register(world, agent.url)
        await request_start(world, queue=QUEUE)
        await until(lambda: world.facts(i.InstanceStarted))
    assert [(q["op"], q["secret_id"], q["version"]) for q in asked] == [("open", "s-1", 2)] * 3
    command = next(body for what, _, body in agent.requests if what == "start")
    file = command["secret_files"][0]
    assert file["variable"] == "QM_QUEUE_FILE"
    assert json.loads(file["content"]) == {
        "host": "rabbit",
        "port": 5673,
        "vhost": "/",
        "queue": "llama",
        "username": "worker",
        "password": "hunter2",
    }
    assert not any(b"hunter2" in row["data"] for row in world.log._rows)
    assert "hunter2" not in caplog.text


async def test_a_secret_that_the_vault_does_not_open_fails_the_start(world, agent):
    async with a_vault(world, None), deploying(world):
        await register(world, agent.url)
        await request_start(world, queue=QUEUE)
        failed = (await until(lambda: world.facts(i.InstanceStartFailed)))[0]
        assert failed.code == "secret_refused"
    assert agent.asked("start") == 0


async def test_a_start_that_can_no_longer_be_sent_has_failed_once_its_worker_is_gone(world, agent):
    agent.auto_ready = False
    async with a_vault(world, "hunter2"), deploying(world):
        await register(world, agent.url)
        await request_start(world, queue=QUEUE)
        await until(lambda: "i-1" in agent.instances)
    async with a_vault(world, None), deploying(world):  # whoever leads next is refused the secret
        failed = (await until(lambda: world.facts(i.InstanceStartFailed)))[0]
        assert failed.code == "secret_refused"
        assert agent.asked("stop") >= 1
        assert agent.instances["i-1"]["report"]["state"] == "exited"


async def test_another_machines_agent_confirms_no_death(world, agent):
    async with FakeAgent(gpus=[gpu(7)]) as another, deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: world.facts(i.InstanceStarted))
        await move(world, another.url)
        await request_stop(world)
        await until(lambda: another.asked("stop") >= 2)
        assert not world.facts(i.InstanceStopped)
        await move(world, agent.url)
        await until(lambda: world.facts(i.InstanceStopped))


async def test_another_machines_boot_is_no_word_about_a_start(world, agent):
    agent.auto_ready = False
    async with FakeAgent(boot_id="another", gpus=[gpu(7)]) as another, deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: "i-1" in agent.instances)
        await move(world, another.url)
        await until(lambda: another.asked("stop") >= 2)
        assert not world.facts(i.InstanceStartFailed)
        await move(world, agent.url)
        await agent.move("i-1", "ready")
        await until(lambda: world.facts(i.InstanceStarted) or world.facts(i.InstanceStartFailed))


async def test_what_a_deleted_node_left_is_ended_by_the_node_that_has_its_gpu_now(world, agent):
    async with deploying(world):
        await register(world, agent.url)
        await request_start(world)
        await until(lambda: world.facts(i.InstanceStarted))
        await world.record("gateway", Draft("node/node-1", n.NodeDeleted(node_id="node-1")))
        await request_stop(world)
        await asyncio.sleep(0.5)
        assert agent.asked("stop") == 0
        await register(world, agent.url, "node-2")
        seen = n.NodeInventoryChanged(
            node_id="node-2", boot_id="boot-1", gpus=({"uuid": "GPU-0", "index": 0},),
            supported_models=("*",),
        )  # fmt: skip
        await world.as_leader("node_monitor", Draft("node/node-2", seen))
        await until(lambda: world.facts(i.InstanceStopped))
        assert agent.instances["i-1"]["report"]["state"] == "exited"
