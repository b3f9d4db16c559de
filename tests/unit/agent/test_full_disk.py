"""A machine's disk is full, or slow: no worker is lost by it, nor kept alive, and no log grows on."""

from __future__ import annotations

import asyncio
import errno
import shutil

import pytest

from services.agent.adapters import logs
from services.agent.handlers.upkeep import Upkeep
from services.chassis.errors import Unavailable
from tests.unit.agent.test_agent import Node, ready
from tests.unit.agent.test_decide import a_start


@pytest.fixture
async def node():
    made = Node()
    await made.agent.wake()
    yield made
    made.machine.disk_full = False
    made.machine.live.clear()
    await made.agent.close()


def upkeep_of(node: Node, lease_s: float = 45.0) -> Upkeep:
    agent = node.agent
    return Upkeep(agent._memory, agent._care, agent._outside, lease_s)


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_over_its_bound_is_cut_though_there_is_no_room_to_keep_it(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)

    def half_a_copy(source, target):
        target.write_bytes(b"x")
        no_room()

    monkeypatch.setattr(shutil, "copyfile", half_a_copy)
    assert logs.rotate(path, 50)
    assert path.read_bytes() == b""
    assert [each.name for each in tmp_path.iterdir()] == ["log"]


async def test_a_log_that_cannot_be_bounded_is_said_and_ends_nothing(node, monkeypatch):
    await ready(node)
    monkeypatch.setattr(node.agent._outside.logs, "rotate", no_room)
    await upkeep_of(node).look()
    assert not node.health.ok
    monkeypatch.setattr(node.agent._outside.logs, "rotate", lambda _: False)
    await upkeep_of(node).look()
    assert node.health.ok


async def test_an_agent_takes_up_its_workers_though_nothing_can_be_kept(node):
    await ready(node)
    again = Node()
    for name in ("live", "kept"):
        setattr(again.machine, name, getattr(node.machine, name))
    again.machine.disk_full = True
    await again.agent.wake()
    assert again.agent.state.instances["i-1"].state == "ready"
    assert not again.health.ok
    again.machine.disk_full = False
    await upkeep_of(again).look()
    assert again.health.ok
    await again.agent.close()


async def test_at_the_leases_end_a_worker_is_ended_though_nothing_can_be_kept(node, monkeypatch):
    monkeypatch.setattr("services.agent.handlers.memory.RETRY_S", 0.01)
    await node.agent.start(a_start(on_lost_control="stop"))
    while node.agent.state.instances["i-1"].state != "ready":
        await node.agent.instance("i-1", 0.05)
    node.machine.disk_full = True
    looking = asyncio.create_task(upkeep_of(node, lease_s=0.0).look())
    async with asyncio.timeout(5):
        while not node.machine.signals:
            await asyncio.sleep(0.01)
    assert not looking.done()
    node.machine.live.clear()
    node.machine.disk_full = False
    await looking
    assert (await node.agent.instance("i-1", 5)).instance.error_code == "lease_ended"


async def test_a_worker_that_went_elsewhere_while_the_disk_was_busy_is_not_called_ready(node):
    await node.agent.start(a_start())
    memory = node.agent._memory
    async with memory._saving:
        moving = asyncio.create_task(memory.move("i-1", "ready", load_s=1.0))
        await asyncio.sleep(0)
        node.agent.state.move("i-1", "stopping")
    await moving
    assert node.agent.state.instances["i-1"].state == "stopping"


async def test_a_state_that_cannot_be_kept_is_kept_later(node):
    node.machine.disk_full = True
    with pytest.raises(Unavailable):
        await node.agent._memory.commit()
    assert not await node.agent._memory.try_commit()
    node.machine.disk_full = False
    await upkeep_of(node).look()
    assert node.machine.kept is not None
    assert node.health.ok
