"""Rows 30 to 38: agents fall silent, come back, lie, lose answers; workers will not die."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from tests.e2e.fleet import eventually
from tests.faults.registry import row

if TYPE_CHECKING:
    from tests.faults.ground import Ground

OFFLINE_WITHIN_S = 30.0


@row(
    30,
    "agent silent",
    "its instances are unknown, its GPUs are kept and given to nobody; it returns by itself",
    "the line to one node is cut until it is offline",
)
async def silent(ground: Ground) -> None:
    before = await ground.head()
    async with ground.trial("agent-silent", kill_worker=False):
        ground.lines["node-1"].down()
        node = await ground.node_id("node-1")
        await eventually(
            lambda: ground.recorded("node.went_offline", before, node_id=node), OFFLINE_WITHIN_S
        )
        assert not await ground.recorded("gpu.freed", before, node_id=node)
        ground.lines["node-1"].up()
        await eventually(
            lambda: ground.recorded("node.came_online", before, node_id=node), OFFLINE_WITHIN_S
        )


@row(
    35,
    "agent killed, its workers live",
    "they are adopted before anything is started; nobody is started anew",
    "SIGKILL of the agent's process alone",
)
async def agent_killed(ground: Ground) -> None:
    before = await ground.head()
    alive = {worker.pid for worker in ground.workers()}
    async with ground.trial("agent-killed", kill_worker=False):
        await ground.killed_and_back("node-1")
    assert alive == {worker.pid for worker in ground.workers()}
    assert not await ground.events("instance.start_requested", "instance.died", after=before)
    assert psutil.pid_exists(min(alive))
