"""Why, asked of the whole way: HTTP and the command line, RabbitMQ, the scheduler, PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import orjson
import pytest

from contracts.envelope import Draft, Lease
from contracts.events.control import LeaseAcquired
from services.chassis import bus as rabbit
from services.chassis.clock import LogClock, SystemClock
from services.chassis.database import connect_pool
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.health import Health
from services.chassis.http import serve
from services.chassis.proposer import Proposer
from services.chassis.run import Context
from services.gateway.adapters.query import QueryService
from services.gateway.service import wire
from services.gateway.state import State as GatewayState
from services.journal.adapters.postgres import PostgresLog
from services.journal.handlers import Journal
from services.scheduler.service import schedule
from services.scheduler.settings import Settings
from tests import builders as b
from tests.gateway_door import BEARER, TOKEN, FakeQuery, MemoryKeys, settings
from tests.in_memory import ended
from tests.integration.test_read_services import a_port
from tests.memory_accounts import memory_own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.chassis.ports import Bus

CLOCK = SystemClock()
LEADING = {"node": "node_monitor", "instance": "deployer", "fleet": "node_monitor"}
CANARY = "canary-do-not-leak"


@dataclass
class Platform:
    """The gateway's address, and a voice for every service that is not there."""

    http: httpx2.AsyncClient
    port: int
    buses: dict[str, Bus]
    led: set[str] = field(default_factory=set)

    async def tell(self, *events: b.Event) -> int:
        position = 0
        for event in events:
            position = await self.say(event)
        return position

    async def say(self, event: b.Event) -> int:
        subject, verb = event.type.split(".")
        by = "queue_sampler" if subject == "queue" else LEADING.get(subject, "gateway")
        by = "gateway" if verb in {"registered", "updated", "created"} else by
        by = "node_monitor" if verb == "died" else by
        draft, lease = Draft(b.stream_of(event), event), None
        proposer = Proposer(self.buses[by], by, CLOCK)
        if by in {"node_monitor", "deployer"}:
            lease = Lease(by, 1)
            if by not in self.led:
                self.led.add(by)
                taken = LeaseAcquired(name=by, epoch=1, holder="a test")
                await proposer.propose(Draft(f"lease/{by}", taken, expected_version=0))
        return (await proposer.propose(draft, lease=lease)).position

    async def why(self, kind: str, id_: str, **parameters: Any) -> dict[str, Any]:
        answer = await self.http.get(f"/explain/{kind}/{id_}", params=parameters)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["position"] == body["data"]["position"]
        return body["data"]

    async def until(self, kind: str, id_: str, status: str, code: str = "") -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                found = await self.why(kind, id_)
                if found["status"] == status and code in ("", found["reasons"][0]["code"]):
                    return found
                await asyncio.sleep(0.02)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from services.cli.service import main; main()", *arguments],
            env={
                **os.environ,
                "QM_GATEWAY_URL": f"http://127.0.0.1:{self.port}",
                "QM_API_TOKEN": TOKEN,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def context(service: str) -> Context:
    return Context(service, CLOCK, asyncio.Event(), Health(service), None)


@asynccontextmanager
async def background(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            await ended(task)


@pytest.fixture(scope="module")
async def platform(broker, database) -> AsyncIterator[Platform]:
    async with AsyncExitStack() as stack:
        buses: dict[str, Bus] = {}
        for service in ("journal", "gateway", "scheduler", "node_monitor", "deployer"):
            buses[service] = await rabbit.connect(service, broker.url(service))
            stack.push_async_callback(buses[service].close)
        buses["queue_sampler"] = await rabbit.connect("queue_sampler", broker.url("queue_sampler"))
        stack.push_async_callback(buses["queue_sampler"].close)
        pool = await connect_pool(database.url("journal"), service="journal", max_size=6)
        stack.push_async_callback(pool.close)
        log = PostgresLog(pool)
        await log.make_partitions()
        await stack.enter_async_context(background(Journal(buses["journal"], log, CLOCK).run()))
        scheduler = Settings(_env_file=None)
        await stack.enter_async_context(
            background(schedule(context("scheduler"), buses["scheduler"], scheduler))
        )
        state = GatewayState()
        follower = Follower(buses["gateway"], "gateway", GatewayState.TYPES, CLOCK)
        folding = Folding(follower, state.apply, LogClock(CLOCK), service="gateway")
        query = QueryService("http://query", server=FakeQuery())
        stack.push_async_callback(query.close)
        here = context("gateway")
        app = wire(
            here,
            settings(),
            buses["gateway"],
            folding,
            state,
            memory_own(TOKEN, MemoryKeys()),
            query,
        )
        port = a_port()
        serving = serve(app, "127.0.0.1", port, here.stop)
        await stack.enter_async_context(background(folding.run(), serving))
        base = f"http://127.0.0.1:{port}/api/v1"
        client = httpx2.AsyncClient(base_url=base, headers=BEARER, timeout=30)
        http = await stack.enter_async_context(client)
        made = Platform(http, port, buses)
        async with asyncio.timeout(30):
            while True:
                try:
                    await http.get("/explain/model/none")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        launch = b.Launch(template="worker", parameters={"token": CANARY})
        await made.tell(b.a_model("m-1", name="llama", launch=launch), *b.a_node("gpu-01"))
        await made.tell(b.a_model("m-2", name="coder"))
        yield made


async def test_why_it_starts_runs_waits_and_what_would_change_it(platform: Platform) -> None:
    found = await platform.until("model", "llama", "starting", "below_floor")
    place = "GPU 0 of gpu-01"
    instance_id = found["history"][0]["stream"].removeprefix("instance/")
    assert found["sentence"].startswith(f"llama is starting on {place} because")
    await platform.tell(b.started(instance_id, "m-1", node_id="gpu-01"))
    await platform.tell(b.sampled("m-1", 11), b.sampled("m-2", 1))
    running = await platform.until("instance", instance_id, "running")
    assert running["sentence"].startswith(f"llama runs on {place} because")
    waits = await platform.until("model", "coder", "waiting")
    assert waits["sentence"] == (
        "coder has no instance because the only GPU that could serve it is in use, and no other model"
        " has an idle instance to spare."
    )
    codes = [each["code"] for each in waits["counterfactuals"]]
    assert codes[0] == "more_free_gpus"
    assert waits["tried"] > 0
    assert (await platform.why("gpu", "gpu-01:0"))["status"] == "held"
    assert (await platform.why("node", "gpu-01"))["status"] == "online"
    assert CANARY not in orjson.dumps([found, running, waits]).decode()


async def test_then_is_answered_as_it_was(platform: Platform) -> None:
    before = await platform.why("model", "coder")
    position = await platform.tell(b.a_model("m-3", name="writer"), *b.a_node("gpu-02"))
    # What was just written here is in the answer.
    now = await platform.why("model", "writer", min_position=position)
    assert now["position"] >= position
    then = await platform.why("model", "coder", as_of=before["at"])
    assert then == before
    again = await platform.why("model", "coder", as_of=before["position"])
    assert (again["sentence"], again["history"]) == (before["sentence"], before["history"])
    unknown = await platform.http.get("/explain/model/writer", params={"as_of": before["position"]})
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("model/nobody", 404, None),
        ("instance/i-9-9-9", 404, None),
        ("gpu/none:7", 404, None),
        ("queue/llama", 422, "kind"),
        ("model/llama?as_of=never", 422, "as_of"),
        ("model/llama?as_of=0", 422, "as_of"),
        ("model/llama?as_of=99999999", 422, "as_of"),
        ("model/llama?as_of=2999-01-01T00:00:00Z", 422, "as_of"),
        ("model/llama?as_of=1999-01-01T00:00:00Z", 422, "as_of"),
        ("model/llama?as_off=1", 422, "as_off"),
        ("model/llama?min_position=x", 422, "min_position"),
    ],
)
async def test_what_cannot_be_answered_says_so_and_names_the_field(
    platform: Platform, path: str, status: int, field: str | None
) -> None:
    answer = await platform.http.get(f"/explain/{path}")
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["success"] is False
    assert [each["field"] for each in body["errors"]] == ([field] if field else [])


async def test_a_stranger_is_not_answered(platform: Platform) -> None:
    answer = await platform.http.get("/explain/model/llama", headers={"authorization": ""})
    assert answer.status_code == 401


async def test_the_command_says_the_sentence_first(platform: Platform) -> None:
    done = await asyncio.to_thread(platform.command, "explain", "model", "llama")
    assert done.returncode == 0, done.stderr
    found = await platform.why("model", "llama")
    lines = done.stdout.splitlines()
    assert lines[0] == found["sentence"]
    assert found["reasons"][0]["code"] in lines[1]
    assert "what happened, newest first:" in lines
    at = str(found["position"])
    told = await asyncio.to_thread(
        platform.command, "explain", "model", "m-1", "--as-of", at, "--json"
    )
    assert orjson.loads(told.stdout)["id"] == "m-1"
    wrong = await asyncio.to_thread(platform.command, "explain", "model", "nobody")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "there is no model nobody" in wrong.stderr
