"""After a restart of the agent: take up every worker that still lives, bury those that do not."""

from __future__ import annotations

import asyncio

from services.agent.handlers.care import Care
from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Outside
from services.agent.state import Instance, Worker
from services.chassis.errors import Conflict


async def wake(memory: Memory, care: Care, outside: Outside) -> None:
    """Make the state what the machine says; must end before any command is taken.

    Raises Conflict when the directory belongs to another node's agent.
    """
    kept = await asyncio.to_thread(outside.store.load)
    if kept is not None:
        if kept.node_id != memory.state.node_id:
            raise Conflict(f"the state is of node {kept.node_id}, not {memory.state.node_id}")
        memory.state.recall(kept)
        memory.touch(kept.contact_at)
    live = [i for i in memory.state.instances.values() if i.live]
    await _remove_strays({i.instance_id for i in live}, care, outside)
    for instance in live:
        await _take_up(instance, memory, care, outside)
    await memory.try_commit()  # a full disk keeps no agent away from its workers


async def _take_up(instance: Instance, memory: Memory, care: Care, outside: Outside) -> None:
    rebooted = instance.boot_id != memory.state.boot_id
    worker = None if rebooted else await asyncio.to_thread(outside.processes.find, instance.worker)
    if worker is None:
        await care.sweep(Worker(instance.instance_id) if rebooted else instance.worker)
        code = "rebooted" if rebooted else "lost"
        sentence = "the machine was restarted" if rebooted else "it ended while the agent was away"
        await care.settle(instance.instance_id, None, error_code=code, error=sentence)
        return
    running = memory.state.note(instance.instance_id, pid=worker.pid, born=worker.born)
    age_s = (outside.clock.now() - running.asked_at).total_seconds()
    care.look_after(running, age_s)
    if running.state == "stopping" or running.error_code is not None:
        care.end(running.instance_id, running.stop_grace_s)


async def _remove_strays(known: set[str], care: Care, outside: Outside) -> None:
    """Kill our workers that no record is left of: nobody will ever count their GPU as held."""
    owners = await asyncio.to_thread(outside.processes.owners)
    for instance_id in sorted(set(owners.values()) - known):
        await care.sweep(Worker(instance_id))
