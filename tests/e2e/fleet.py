"""A whole platform with two models under load, to break and to ask what became of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import psutil

from deploy.demo import fleet
from deploy.demo.client import Gateway, Query
from deploy.demo.collector import Collector
from deploy.demo.publisher import Publisher
from deploy.demo.runner import MODELS_USER
from deploy.demo.trace import Request
from deploy.local.platform import Plan, Platform, wipe
from deploy.rabbitmq.permissions import MODELS_VHOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from deploy.demo.messages import Result
    from deploy.local.engines import Engines
    from deploy.local.platform import Node

SPEED = 60.0
EXEC_S = 12.0  # trace seconds: a fifth of a second here
MODELS = ("painter", "writer")
AGENTS = {"node-1": 2, "node-2": 2}
LOOK_S = 0.1
SAMPLES = frozenset({"queue.sampled", "node.reported"})
WATCH_S = 0.3
RESTARTED_WITHIN_S = 10.0
AGAIN = frozenset({409, 502, 503, 504})  # 409: the same request is in flight


@dataclass(frozen=True)
class Worker:
    """A worker as the operating system has it."""

    instance_id: str
    node: str
    model: str
    visible: str
    pid: int


class Results(Collector):
    """Every result of each id, not only the first; one that the broker brings again is one."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.all: defaultdict[str, set[Result]] = defaultdict(set)

    def take(self, result: Result) -> None:
        super().take(result)
        self.all[result.id].add(result)


class Fleet:
    """One platform: its load, its people, and its processes."""

    def __init__(self, platform: Platform, engines: Engines) -> None:
        url = engines.amqp_url(MODELS_USER, MODELS_VHOST)
        self.platform, self.engines = platform, engines
        self.state = platform.state
        self.nodes: Sequence[Node] = platform.nodes
        self.publisher, self.results = Publisher(url, SPEED), Results(url)
        self.query = Query(platform.query_url)
        headers = {"Authorization": f"Bearer {platform.api_token}"}
        self.http = httpx2.AsyncClient(
            base_url=f"{platform.gateway_url}/api/v1", headers=headers, timeout=10, trust_env=False
        )
        self.models: dict[str, str] = {}
        self.killed: Counter[str] = Counter()
        self.shared_gpus: set[tuple[str, str]] = set()

    async def create(self) -> None:
        """Make queues, environment, models, nodes and the strategy."""
        await self.publisher.declare(MODELS)
        broker = fleet.Broker(
            host=self.engines.amqp_host,
            management_port=self.engines.management_port,
            amqp_port=self.engines.amqp_port,
            vhost=MODELS_VHOST,
            username=MODELS_USER,
            password=self.engines.credentials.broker[MODELS_USER],
        )
        gateway = Gateway(self.platform.gateway_url, self.platform.api_token)
        try:
            models = dict.fromkeys(MODELS, EXEC_S)
            await fleet.create(gateway, self.nodes, models, SPEED, broker)
        finally:
            await gateway.close()
        listed = await self.api("GET", "/models?limit=10")
        self.models = {model["name"]: model["id"] for model in listed["data"]["items"]}
        for model_id in self.models.values():  # so that every death leaves a model without any
            await self.api("PATCH", f"/models/{model_id}", json={"max_instances": 1})
        await eventually(self.all_serve, 30.0)

    async def close(self) -> None:
        """Close what is ours."""
        await self.query.close()
        await self.http.aclose()

    # The load.

    async def serve(self, name: str, count: int, over_s: float) -> None:
        """Publish `count` requests evenly over so many seconds, for all models in turn."""
        between_s = over_s * SPEED / count
        await self.publisher.run(
            [
                Request(f"{name}.{n}", MODELS[n % len(MODELS)], n * between_s, EXEC_S)
                for n in range(count)
            ]
        )

    def served(self, name: str) -> list[str]:
        """Return the ids of a batch that came back."""
        return [id_ for id_ in self.results.served if id_.startswith(f"{name}.")]

    def done_twice(self, died: set[str]) -> list[str]:
        """Return ids with two results that no redelivery, repeated publish or death explains."""
        return [id_ for id_, each in self.results.all.items() if not _explained(each, died)]

    # People.

    async def api(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Return what the gateway answers.

        Raises httpx2.HTTPError when the same request may be sent again, AssertionError else.
        """
        answer = await self.http.request(method, path, **more)
        if answer.status_code in AGAIN:
            answer.raise_for_status()
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    async def command(self, note: str, model: str = MODELS[0]) -> None:
        """Change a model, however often it must be asked, and read what was written."""
        path = f"/models/{self.models[model]}"
        headers = {"Idempotency-Key": f"{note}.{model}"}
        changed = await retried(
            lambda: self.api("PATCH", path, json={"description": note}, headers=headers)
        )
        where = f"{path}?min_position={changed['position']}"
        read = await retried(lambda: self.api("GET", where))
        assert read["data"]["description"] == note

    async def forgive(self, note: str) -> None:
        """Change every model, which says that it is mended: its workers' deaths are forgotten.

        Else the scheduler waits ever longer with the next start of a model that dies so often.
        """
        for model in MODELS:
            await self.command(f"{note}.before", model)

    async def head(self) -> int:
        """Return the newest position."""
        return int((await retried(lambda: self.query.one("/status")))["head"])

    async def events(self, *types: str, after: int = 0) -> list[dict[str, Any]]:
        """Return recorded events of some types, in order."""
        narrow = {"types": ",".join(types), "after": after}
        return [event async for event in self.query.all("/events", **narrow)]

    async def recorded(self, type_: str, after: int, **data: Any) -> bool:
        """Tell whether such an event was recorded after a position."""
        found = await self.events(type_, after=after)
        return any(data.items() <= event["data"].items() for event in found)

    async def instances(self, **narrow: Any) -> list[dict[str, Any]]:
        """Return instances, all pages."""
        return [row async for row in self.query.all("/instances", **narrow)]

    async def all_serve(self) -> bool:
        """Tell whether every model has a ready instance."""
        ready = await self.instances(state="ready")
        return {row["model_id"] for row in ready} == set(self.models.values())

    async def create_homeless_model(self) -> str:
        """Make a model whose workers cannot start: it stays below its floor; return its id."""
        nowhere = await self.api("POST", "/environments", json={"name": "nowhere"})
        broker = fleet.Broker("127.0.0.1", 15672, 5672, "/", "nobody", "")
        body = fleet.model("homeless", EXEC_S, SPEED, broker)
        body["environment_id"] = nowhere["data"]["id"]
        return str((await self.api("POST", "/models", json=body))["data"]["id"])

    # Processes.

    def kill(self, part: str) -> int:
        """Kill a part as a crash would; return which process it was."""
        pid = self.platform.supervisor.pid_of(part)
        assert pid is not None
        self.killed[part] += 1
        psutil.Process(pid).kill()
        return pid

    async def runs_again(self, part: str, killed: int) -> None:
        """Return once a part has a new process."""
        gone = {killed, None}
        running = self.platform.supervisor.pid_of
        await eventually(lambda: running(part) not in gone, RESTARTED_WITHIN_S, pause_s=0.01)

    async def kill_worker(self, node: str) -> str:
        """Kill a worker that serves, on this node if it has one; return its instance."""
        workers = [each for each in await asyncio.to_thread(self.workers) if each.model in MODELS]
        victim = min(workers, key=lambda worker: (worker.node != node, worker.pid))
        psutil.Process(victim.pid).kill()
        return victim.instance_id

    async def is_replaced(self, instance_id: str) -> bool:
        """Tell whether a death was noticed and every model has an instance again."""
        row = await self.query.one(f"/instances/{instance_id}")
        return row["state"] == "died" and await self.all_serve()

    async def story(self, instance_id: str) -> str:
        """Tell of an instance and of what was recorded last, for whoever waited in vain."""
        row = await self.query.one(f"/instances/{instance_id}")
        last = [event for event in await self.events() if event["type"] not in SAMPLES][-40:]
        lines = [f"{each['recorded_at']} {each['type']} {each['data']}" for each in last]
        return "\n".join([str(row), *lines])

    async def watch(self) -> None:
        """Look all the time for GPUs on which two instances live at once."""
        while True:
            self.shared_gpus |= _shared_gpus(await asyncio.to_thread(self.workers))
            await asyncio.sleep(WATCH_S)

    def workers(self) -> list[Worker]:
        """Return the workers that live, by their environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError, KeyError):
                told = process.environ()
                if not Path(told["QM_READY_FILE"]).is_relative_to(self.state / "agents"):
                    continue
                node = Path(told["QM_READY_FILE"]).relative_to(self.state / "agents").parts[0]
                visible = told["CUDA_VISIBLE_DEVICES"]
                ids = told["QM_INSTANCE_ID"], node, told["QM_MODEL"]
                found.append(Worker(*ids, visible, process.pid))
        return found


F = TypeVar("F", bound=Fleet)


async def eventually(
    condition: Callable[[], Awaitable[Any] | Any],
    within_s: float,
    *,
    pause_s: float = LOOK_S,
) -> None:
    """Return once a condition holds; an answer that does not come counts as no."""
    until, trouble = time.monotonic() + within_s, ""
    while True:
        try:
            holds = condition()
            if holds if not hasattr(holds, "__await__") else await holds:
                return
            trouble = "it does not hold"
        except httpx2.HTTPError as error:
            trouble = repr(error)
        assert time.monotonic() < until, f"not within {within_s:g} s: {trouble}"
        await asyncio.sleep(pause_s)


async def retried(ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Return the first good answer; whoever calls sets the deadline."""
    while True:
        with suppress(httpx2.HTTPError):
            return await ask()
        await asyncio.sleep(LOOK_S)


def one_at_a_time(events: Sequence[dict[str, Any]]) -> bool:
    """Tell whether each GPU's allocations and releases alternate, an allocation first."""
    held: set[str] = set()
    for event in events:
        gpu, taken = event["stream"], event["type"] == "gpu.allocated"
        if taken == (gpu in held):
            return False
        held ^= {gpu}
    return True


@asynccontextmanager
async def started(make: Callable[[Platform, Engines], F] = Fleet) -> AsyncIterator[F]:
    """Run a platform in a directory of its own for the length of a block."""
    # Not pytest's own directory: the database's user must be able to enter it.
    state = Path(mkdtemp(prefix="quartermaster-faults-", dir="/var/tmp"))
    state.chmod(0o755)
    said: list[str] = []
    platform = Platform(Plan(state, AGENTS, fleet.settings(SPEED)), said.append)
    try:
        engines = await platform.start()
        await platform.ready()
        running = make(platform, engines)
        await running.create()
        working = [asyncio.create_task(work) for work in (running.results.run(), running.watch())]
        yield running
        for task in working:
            task.cancel()
        await running.close()
    finally:
        await platform.stop()
        await asyncio.to_thread(wipe, state, said.append)


def _explained(results: set[Result], died: set[str]) -> bool:
    """Tell whether all results of an id but one have an excuse.

    The broker delivered the request again, its publisher was told of no confirm and sent it again,
    or the instance died before it could say that it was done.
    """
    excused = sum(result.redelivered or result.instance in died for result in results)
    publishes = len({result.published_at for result in results})
    return len(results) <= excused + publishes


def _shared_gpus(workers: Sequence[Worker]) -> set[tuple[str, str]]:
    on_gpu: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for worker in workers:
        on_gpu[worker.node, worker.visible].add(worker.instance_id)
    return {gpu for gpu, instances in on_gpu.items() if len(instances) > 1}
