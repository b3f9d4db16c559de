"""The agent between a machine that fails and a control plane that asks."""

from __future__ import annotations

import asyncio
import signal
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from contracts.http.agent import KillCommand, StopCommand
from contracts.types import GpuUse
from services.agent.decide.commands import Offer
from services.agent.handlers import gpu_watch, killing
from services.agent.handlers.agent import Agent
from services.agent.handlers.outside import Outside, Terms
from services.agent.routes.app import create_app
from services.agent.state import State, Worker
from services.chassis.clock import SystemClock
from services.chassis.errors import Conflict, Refused, Unavailable
from services.chassis.health import Health
from tests.unit.agent.test_decide import OFFER, a_fence, a_start

TOKEN = "t" * 16


class Machine:
    """A machine in memory: processes, GPUs and a disk that can be told to misbehave."""

    def __init__(self):
        self.live, self.codes, self.ended, self.next_pid = {}, {}, asyncio.Event(), 100
        self.undying = self.disk_full = False
        self.kept, self.signals, self.foreign = None, [], ()
        self.driver_error, self.driver = None, lambda: None

    def use(self):
        self.driver()
        if self.driver_error is not None:
            raise self.driver_error
        pids = (*self.live.values(), *self.foreign)
        return (GpuUse(uuid="GPU-a", index=0, foreign_pids=pids),)

    def visible(self, gpu):
        return gpu.uuid

    def spawn(self, instance_id, argv, environment, log):
        self.next_pid += 1
        self.live[instance_id] = self.next_pid
        return Worker(instance_id, self.next_pid, 1.0)

    def find(self, worker):
        pid = self.live.get(worker.instance_id)
        return None if pid is None else Worker(worker.instance_id, pid, 1.0)

    def tree(self, worker):
        return [self.live[worker.instance_id]] if worker.instance_id in self.live else []

    def owners(self):
        return {pid: name for name, pid in self.live.items()}

    def signal(self, worker, number):
        self.signals.append(number)
        if number == signal.SIGKILL and not self.undying:
            self.live.pop(worker.instance_id, None)
        return 1

    def kill(self, pid):
        self.foreign = tuple(p for p in self.foreign if p != pid or self.undying)
        return True

    def alive(self, pid):
        return pid in self.foreign or pid in self.live.values()

    async def gone(self, worker):
        while worker.instance_id in self.live:
            await asyncio.sleep(0.01)
        return -9

    def load(self):
        return self.kept

    def save(self, kept):
        if self.disk_full:
            raise Unavailable("the disk is full")
        self.kept = kept


class Folders:
    def log(self, instance_id):
        return Path("/nowhere/log")

    ready_file = log

    def prepare(self, instance_id, secrets):
        return {}

    def forget_secrets(self, instance_id):
        pass

    def keep_only(self, known):
        pass


class Logs:
    def end(self, instance_id, size):
        return "last words"

    def last_lines(self, instance_id, lines):
        return "a\n", 2

    def read_on(self, instance_id, offset):
        return b"", offset

    def rotate(self, instance_id):
        return False


class Node:
    def __init__(self):
        self.machine, self.health, self.lines = Machine(), Health("agent"), []
        outside = Outside(
            self.machine, self.machine, self.machine, Folders(), Logs(),
            lambda *_: True, lambda *_: 8001, SystemClock(),
        )  # fmt: skip
        terms = Terms("127.0.0.1", "127.0.0.1", {}, 45.0, "python", "1")
        log = SimpleNamespace(info=lambda event, **more: self.lines.append((event, more)))
        state = State("node-1", "boot-1")
        offer = Offer(OFFER.templates, OFFER.models)
        self.agent = Agent(state, offer, outside, terms, self.health, log)


@pytest.fixture
async def node():
    made = Node()
    await made.agent.wake()
    yield made
    made.machine.live.clear()
    await made.agent.close()


async def ready(node, name="i-1"):
    await node.agent.start(a_start(name))
    while node.agent.state.instances[name].state != "ready":
        await node.agent.instance(name, 0.05)


async def test_a_start_that_cannot_be_kept_starts_nothing_and_may_come_again(node):
    node.machine.disk_full = True
    with pytest.raises(Unavailable):
        await node.agent.start(a_start())
    assert node.machine.live == {}
    node.machine.disk_full = False
    assert (await node.agent.start(a_start())).instance.pid == 101


async def test_nobody_is_told_ready_before_the_next_run_would_know_it(node, monkeypatch):
    may_keep, save = threading.Event(), node.machine.save

    def slow(kept):
        if any(instance.state == "ready" for instance in kept.instances.values()):
            assert may_keep.wait(20)
        save(kept)

    monkeypatch.setattr(node.machine, "save", slow)
    await node.agent.start(a_start())
    try:
        assert (await node.agent.instance("i-1", 0.2)).instance.state == "starting"
    finally:
        may_keep.set()
    assert (await node.agent.instance("i-1", 5)).instance.state == "ready"
    assert node.machine.kept.instances["i-1"].state == "ready"


async def test_a_full_disk_keeps_no_worker_from_being_ready(node, monkeypatch):
    monkeypatch.setattr("services.agent.handlers.memory.RETRY_S", 0.01)
    released, is_ready = threading.Event(), node.agent._outside.is_ready
    outside = replace(node.agent._outside, is_ready=lambda *_: released.wait(20) and is_ready())
    node.agent._care._outside = outside
    await node.agent.start(a_start())
    node.machine.disk_full = True
    released.set()
    assert (await node.agent.instance("i-1", 5)).instance.state == "ready"
    assert node.machine.kept.instances["i-1"].state == "starting"
    node.machine.disk_full = False
    async with asyncio.timeout(20):
        while node.machine.kept.instances["i-1"].state != "ready":
            await asyncio.sleep(0.01)


async def test_a_stop_while_ready_is_being_kept_is_what_counts(node, monkeypatch):
    may_keep, keeping, save = threading.Event(), threading.Event(), node.machine.save

    def slow(kept):
        if any(instance.state == "ready" for instance in kept.instances.values()):
            keeping.set()
            assert may_keep.wait(20)
        save(kept)

    monkeypatch.setattr(node.machine, "save", slow)
    await node.agent.start(a_start())
    assert await asyncio.to_thread(keeping.wait, 20)
    command = StopCommand(fence=a_fence(2), grace_s=0)
    stopping = asyncio.create_task(node.agent.stop("i-1", command))
    await asyncio.sleep(0)
    may_keep.set()
    assert (await stopping).instance.state == "exited"
    assert node.machine.kept.instances["i-1"].state == "exited"


async def test_starts_at_the_same_moment_make_one_worker(node):
    same = [node.agent.start(a_start()) for _ in range(3)]
    other = node.agent.start(a_start("i-2", 2))
    answers = await asyncio.gather(*same, other, return_exceptions=True)
    assert [answer.instance.pid for answer in answers[:3]] == [101, 101, 101]
    assert isinstance(answers[3], Conflict)
    assert node.machine.live == {"i-1": 101}


async def test_a_full_disk_keeps_no_worker_alive(node):
    await ready(node)
    node.machine.disk_full = True
    with pytest.raises(Unavailable):
        await node.agent.stop("i-1", StopCommand(fence=a_fence(2), grace_s=0))
    while node.machine.live:
        await asyncio.sleep(0.01)
    assert not node.health.ok or node.agent.state.instances["i-1"].state == "stopping"
    node.machine.disk_full = False
    answer = await node.agent.instance("i-1", 5)
    assert answer.instance.state == "exited"


async def test_what_will_not_die_keeps_its_gpu(node, monkeypatch):
    monkeypatch.setattr("services.agent.handlers.agent.CONFIRM_S", 0.1)
    await ready(node)
    node.machine.undying = True
    answer = await node.agent.stop("i-1", StopCommand(fence=a_fence(2), grace_s=0))
    assert answer.instance.state == "stopping"
    assert node.agent.state.holder("GPU-a") is not None
    node.machine.undying = False
    again = await node.agent.stop("i-1", StopCommand(fence=a_fence(2), grace_s=0))
    assert (await node.agent.instance("i-1", 5)).instance.state == "exited"
    assert again.instance.state in {"stopping", "exited"}
    assert node.machine.signals[0] == signal.SIGTERM


async def test_a_silent_driver_leaves_the_last_answer_and_a_red_health(node, monkeypatch):
    before = await node.agent.gpus()
    node.machine.driver_error = Unavailable("GPU is lost")
    assert await node.agent.gpus() == before
    assert node.agent.health().status == "unhealthy"
    node.machine.driver_error = None
    await node.agent.gpus()
    assert node.agent.health().status == "ok"


async def test_a_hanging_driver_delays_nobody_for_long(node, monkeypatch):
    released = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(gpu_watch, "DRIVER_S", 0.05)
    node.machine.driver = lambda: asyncio.run_coroutine_threadsafe(released.wait(), loop).result()
    before = await node.agent.gpus()
    assert before
    assert not node.health.ok
    released.set()
    node.machine.driver = lambda: None
    while not node.health.ok:
        await node.agent.gpus()


async def test_our_workers_are_not_foreign_and_strangers_on_a_gpu_may_be_killed(node):
    await ready(node)
    node.machine.foreign = (7,)
    assert (await node.agent.gpus())[0].foreign_pids == (7,)
    assert (await node.agent.kill(7, KillCommand(fence=a_fence(1)))).found
    assert not (await node.agent.kill(7, KillCommand(fence=a_fence(1)))).found


async def test_a_process_elsewhere_is_not_killed(node, monkeypatch):
    monkeypatch.setattr(node.machine, "alive", lambda pid: True)
    with pytest.raises(Refused, match="no worker's"):
        await node.agent.kill(55, KillCommand(fence=a_fence(1)))


async def test_a_kill_is_confirmed_only_by_a_death(node, monkeypatch):
    monkeypatch.setattr(killing, "DEATH_S", 0.05)
    node.machine.foreign, node.machine.undying = (7,), True
    with pytest.raises(Unavailable, match="not died yet"):
        await node.agent.kill(7, KillCommand(fence=a_fence(1)))


async def test_every_command_leaves_a_line_the_refused_ones_too(node):
    await node.agent.start(a_start())
    with pytest.raises(Exception, match="held"):
        await node.agent.start(a_start("i-2", 2))
    assert [more["verdict"] for event, more in node.lines if event == "start"] == ["begin", "held"]


async def test_the_routes_answer_over_asgi(node):
    transport = httpx2.ASGITransport(create_app(node.agent, TOKEN))
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://agent", headers=headers
    ) as http:
        body = a_start().model_dump(mode="json")
        assert (await http.post("/instances", json=body)).status_code == 200
        assert [i["instance_id"] for i in (await http.get("/instances")).json()] == ["i-1"]
        assert (await http.get("/models")).json()["models"] == ["*"]
        held = await http.post("/instances", json=a_start("i-2", 2).model_dump(mode="json"))
        assert (held.status_code, held.json()["code"]) == (409, "held")
        node.machine.disk_full = True
        stop = await http.post("/instances/i-9/stop", json={"fence": {"epoch": 1, "position": 1}})
        assert (stop.status_code, "retry-after" in stop.headers) == (503, True)
