"""Rows 30 to 38: agents fall silent, come back, lie, lose answers; workers will not die."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from deploy.local.processes import lives
from tests.e2e.fleet import eventually, retried
from tests.fake_agent import FakeAgent
from tests.faults.packets import lost
from tests.faults.proxy import Answerless, cutting, swallowing
from tests.faults.registry import row

if TYPE_CHECKING:
    from tests.faults.ground import Ground

NODE = "node-1"
OFFLINE_WITHIN_S, ONLINE_WITHIN_S = 40.0, 20.0
ZOMBIE_S = 5.0  # after it was given up
LOSSY_S, LOSS = 20.0, 0.3
STOPPED_WITHIN_S = 40.0
MAD_S = 5.0  # for each way of being mad
MAD = ("garbage", "huge", "trickle")
MB = 1024 * 1024
RENUMBERED = '''\
"""Gives a node's GPUs their places the other way round."""
from services.agent.adapters import virtual_gpus
make = virtual_gpus.VirtualGpus.__init__
def renumbered(self, node_id, count):
    make(self, node_id, count)
    places = range(count - 1, -1, -1)
    pairs = zip(self._gpus, places)
    moved = [gpu.model_copy(update={"index": place}) for gpu, place in pairs]
    self._gpus = tuple(moved)
virtual_gpus.VirtualGpus.__init__ = renumbered
'''


async def _offline(ground: Ground, node: str, since: int) -> None:
    """Return once a node went offline; nothing of it was given up for that."""
    await eventually(
        lambda: ground.recorded("node.went_offline", since, node_id=node), OFFLINE_WITHIN_S
    )
    await _keeps_all(ground, node, since)


async def _keeps_all(ground: Ground, node: str, since: int) -> None:
    for type_ in ("gpu.freed", "instance.died"):
        assert not await ground.recorded(type_, since, node_id=node), f"{type_} of a silent node"


async def _online(ground: Ground, node: str, since: int) -> None:
    await eventually(
        lambda: ground.recorded("node.came_online", since, node_id=node), ONLINE_WITHIN_S
    )


@row(
    30,
    "agent silent",
    "its instances are unknown, its GPUs are kept and given to nobody; it returns by itself",
    "the line to one node is cut until it is offline",
)
async def silent(ground: Ground) -> None:
    node, before = await ground.node_id(NODE), await ground.head()
    async with ground.trial("agent-silent", kill_worker=False):
        ground.lines[NODE].down()
        await _offline(ground, node, before)
        ground.lines[NODE].up()
        await _online(ground, node, before)
        await _keeps_all(ground, node, before)


@row(
    31,
    "more than half of the fleet silent",
    "we suspect ourselves: an alert, nobody is called offline, nothing is evicted",
    "the lines to all nodes are cut, and mended",
)
async def most_silent(ground: Ground) -> None:
    before = await ground.head()
    async with ground.trial("most-silent", kill_worker=False):
        for line in ground.lines.values():
            line.down()
        await eventually(
            lambda: ground.recorded("fleet.silence_suspected", before), OFFLINE_WITHIN_S
        )
        await eventually(
            lambda: ground.recorded("alert.raised", before, rule="fleet_silence"), ONLINE_WITHIN_S
        )
        for line in ground.lines.values():
            line.up()
        await eventually(lambda: ground.recorded("fleet.silence_cleared", before), ONLINE_WITHIN_S)
    given_up = ("node.went_offline", "gpu.freed", "instance.died")
    assert not await ground.events(*given_up, after=before), "something was given up"


@row(
    32,
    "a zombie returns",
    "stale commands are refused, its processes are as the log says, nothing is given away",
    f"SIGSTOP of an agent until it is offline and {ZOMBIE_S:g} s more, then SIGCONT",
)
async def zombie(ground: Ground) -> None:
    node, before = await ground.node_id(NODE), await ground.head()
    async with ground.trial("zombie"):
        async with ground.frozen(ground.process(NODE)):
            await _offline(ground, node, before)
            await asyncio.sleep(ZOMBIE_S)
        await _online(ground, node, before)
        await _keeps_all(ground, node, before)


@row(
    33,
    "one-way partition; 30% loss",
    "deaf to one node it is offline and loses nothing; under loss nobody flaps",
    f"a line that swallows all answers; then {LOSSY_S:g} s each: {LOSS:.0%} of all questions cut,"
    f" and, as root, {LOSS:.0%} of all packets dropped by the kernel both ways",
)
async def one_way(ground: Ground) -> None:
    node, before = await ground.node_id(NODE), await ground.head()
    async with ground.trial("one-way", kill_worker=False):
        ground.lines[NODE].rule = swallowing("to_client")
        await _offline(ground, node, before)
        ground.lines[NODE].up()
        await _online(ground, node, before)
    before = await ground.head()
    async with ground.trial("lossy", kill_worker=False):
        for number, line in enumerate(ground.lines.values()):
            line.rule = cutting(LOSS, seed=number)
        await asyncio.sleep(LOSSY_S)
        for line in ground.lines.values():
            line.up()
    ports = [line.port for line in ground.lines.values()]
    async with ground.trial("packets-lost", kill_worker=False), lost(LOSS, ports) as is_lossy:
        await asyncio.sleep(LOSSY_S if is_lossy else 0.0)
    assert not await ground.events("node.went_offline", after=before), "a node flapped"


async def _stop_one(ground: Ground) -> dict[str, Any]:
    """Ask for an instance to be stopped; return it."""
    instance = min(await ground.instances(state="ready"), key=lambda each: each["instance_id"])
    path = f"/nodes/{instance['node_id']}/models/stop"
    body = {"instance_id": instance["instance_id"]}
    await retried(lambda: ground.api("POST", path, json=body))
    return instance


@row(
    34,
    "the answer to a stop is lost",
    "the agent is asked again; the GPU is free only after the death was confirmed",
    "a line takes the stop to the agent and cuts before its answer; no answer at all by tests",
    tests=(
        "tests/integration/test_deployer.py::test_a_stop_whose_answer_was_lost_is_asked_again",
        "tests/integration/test_deployer.py::test_a_stop_is_never_assumed",
    ),
)
async def stop_lost(ground: Ground) -> None:
    before = await ground.head()
    async with ground.trial("stop-lost", kill_worker=False):
        lost = Answerless(b"/stop")
        for line in ground.lines.values():
            line.rule = lost  # one for all: wherever the instance is
        stopped = (await _stop_one(ground))["instance_id"]
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await lost.done.wait()
        await eventually(
            lambda: ground.recorded("instance.stopped", before, instance_id=stopped),
            STOPPED_WITHIN_S,
        )
        for line in ground.lines.values():
            line.up()
    told = await ground.events("instance.stopped", "gpu.freed", after=before)
    of_it = [each["type"] for each in told if each["data"]["instance_id"] == stopped]
    assert of_it == ["instance.stopped", "gpu.freed"], of_it


@row(
    35,
    "agent killed, its workers live",
    "they are adopted before anything is started; nobody is started anew",
    "SIGKILL of the agent's process alone, twice",
)
async def agent_killed(ground: Ground) -> None:
    before = await ground.head()
    alive = {worker.pid for worker in ground.workers()}
    async with ground.trial("agent-killed", kill_worker=False):
        await ground.killed_and_back(NODE)
        await ground.killed_and_back(NODE)
    assert alive == {worker.pid for worker in ground.workers()}, "workers ended"
    begun = await ground.events("instance.start_requested", "instance.died", after=before)
    assert not begun, "an agent's death was taken for its workers'"


@row(
    36,
    "a process that will not die",
    "asked, then killed; its GPU is free only when it is gone; what outlives even that keeps it",
    "a worker is frozen and told to stop: it cannot hear SIGTERM; the rest by tests",
    tests=(
        "tests/integration/test_agent.py::test_a_process_that_ignores_term_is_killed_with_all_its_children",
        "tests/unit/agent/test_agent.py::test_what_will_not_die_keeps_its_gpu",
    ),
)
async def will_not_die(ground: Ground) -> None:
    before = await ground.head()
    async with ground.trial("will-not-die", kill_worker=False):
        workers = {worker.instance_id: psutil.Process(worker.pid) for worker in ground.workers()}
        for process in workers.values():
            process.suspend()
        stopped = (await _stop_one(ground))["instance_id"]
        for instance_id, process in workers.items():
            if instance_id != stopped:
                process.resume()
        await eventually(
            lambda: ground.recorded("gpu.freed", before, instance_id=stopped), STOPPED_WITHIN_S
        )
        # What init has not buried yet holds nothing any more.
        assert not lives(workers[stopped]), "its GPU was freed while it lived"


@row(
    37,
    "agent lies: garbage, without end, a byte at a time",
    "what is read is bounded, one node is affected",
    f"a node whose agent answers so, {MAD_S:g} s each way",
    tests=(
        "tests/integration/test_node_monitor.py::test_a_mad_agent_delays_nobody_and_goes_offline",
    ),
)
async def lies(ground: Ground) -> None:
    before, monitor = await ground.head(), ground.process("node_monitor")
    memory = monitor.memory_info().rss
    async with FakeAgent(mode=MAD[0]) as mad, ground.trial("lying-agent"):
        listed = await retried(lambda: ground.api("GET", "/environments?limit=50"))
        home = next(each["id"] for each in listed["data"]["items"] if each["name"] == "demo")
        body = {"name": "liar", "environment_id": home, "agent_url": mad.url}
        liar = (await retried(lambda: ground.api("POST", "/nodes", json=body)))["data"]["id"]
        for mode in MAD:
            mad.mode = mode
            until = time.monotonic() + MAD_S
            while time.monotonic() < until:
                grown = monitor.memory_info().rss - memory
                assert grown < 64 * MB, f"the node monitor grew by {grown // MB} MB"
                await asyncio.sleep(0.1)
        await retried(lambda: ground.api("DELETE", f"/nodes/{liar}?force=true"))
    news = await ground.events("node.went_offline", "node.came_online", after=before)
    assert {event["data"]["node_id"] for event in news} <= {liar}, "others were affected"


@row(
    38,
    "reboot, GPUs renumbered",
    "a new boot id ends what ran before it, and frees its GPUs; all is placed again, by UUID",
    "the agent and its workers are killed, the agent begins with another boot id and its GPUs in"
    " each other's places; then once more, as they were",
    tests=(
        "tests/integration/test_agent.py::test_a_new_boot_ends_the_instances_of_the_old_one",
        "tests/integration/test_node_monitor.py::test_a_reboot_ends_what_ran_before_it",
    ),
)
async def reboot(ground: Ground) -> None:
    was = await _places(ground)
    told = ground.shim("renumbered", RENUMBERED)
    for name, environment in (("renumbered", told), ("as-before", {})):
        before = await ground.head()
        async with ground.trial(f"reboot-{name}", kill_worker=False):
            gone = [worker for worker in ground.workers() if worker.node == NODE]
            boot = {"QM_BOOT_ID": f"boot-{before}"}
            await ground.begin_anew(NODE, {**boot, **environment})
            for worker in gone:
                psutil.Process(worker.pid).kill()
            for worker in gone:
                died = partial(
                    ground.recorded, "instance.died", before, instance_id=worker.instance_id
                )
                await eventually(died, ONLINE_WITHIN_S)
            await eventually(
                lambda before=before: ground.recorded("node.inventory_changed", before),
                ONLINE_WITHIN_S,
            )
        now = await _places(ground)
        assert now.keys() == was.keys()
        assert (now != was) is bool(environment), f"the GPUs' places are {now}, and were {was}"
        await eventually(partial(_workers_see_their_gpus, ground, now), ONLINE_WITHIN_S)


async def _places(ground: Ground) -> dict[str, str]:
    """Return where the GPUs of the node are, by UUID, as its agent says."""
    node = next(each for each in ground.platform.nodes if each.name == NODE)
    status = await ground.agent("GET", node, "/status")
    return {gpu["uuid"]: str(gpu["index"]) for gpu in status["gpus"]}


async def _workers_see_their_gpus(ground: Ground, places: dict[str, str]) -> bool:
    """Tell whether each worker on the node was shown the GPU that the log gave it."""
    given = {row["instance_id"]: row["gpu_uuid"] for row in await ground.instances()}
    workers = [each for each in ground.workers() if each.node == NODE]
    return all(places[given[each.instance_id]] == each.visible for each in workers)
