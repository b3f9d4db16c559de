"""Alerts on the real broker and the real log: raised, carried, listed, and heard from outside."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import orjson
import pytest

from contracts.envelope import Draft, Lease
from contracts.events import alert as a
from contracts.events import node as n
from contracts.events.control import LeaseAcquired
from services.alerter.service import watch
from services.alerter.settings import Settings
from services.chassis import bus as rabbit
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.health import Health
from services.chassis.ports import Message
from services.chassis.proposer import Proposer
from services.chassis.run import Context
from services.journal.adapters.postgres import PostgresLog
from services.journal.handlers import Journal
from services.projector.service import project_all
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.reader import DatabaseReader
from services.query.routes import application
from tests.alerting import HURRIED
from tests.fake_webhook import FakeWebhook
from tests.in_memory import ended

CLOCK = SystemClock()
EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
DEADLINE_S = 60


@asynccontextmanager
async def on(broker, service):
    bus = await rabbit.connect(service, broker.url(service))
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def working(work):
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await ended(task)


@asynccontextmanager
async def platform(broker, database):
    """A journal and an alerter; yields what reads the log's facts."""
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=6)
    log = PostgresLog(pool)
    context = Context("alerter", CLOCK, asyncio.Event(), Health("alerter"), None)
    settings = Settings(_env_file=None, **{**HURRIED, "alert_lag_interval": 0.2})
    try:
        async with (
            on(broker, "journal") as journal_bus,
            working(Journal(journal_bus, log, CLOCK).run()),
            on(broker, "alerter") as alerter_bus,
            working(watch(context, alerter_bus, settings)),
        ):
            yield log, journal_bus
    finally:
        await pool.close()


async def facts(log, type_):
    return [orjson.loads(row["data"]) for row in await log.read(0, 1000) if row["type"] == type_]


async def eventually(condition):
    async with asyncio.timeout(DEADLINE_S):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
    return found


@asynccontextmanager
async def subscriber(broker, *types):
    """Run the example as its reader would, and wait until it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "subscriber.py"),
        broker.url("subscriber"),
        *types,
        stdout=asyncio.subprocess.PIPE,
    )

    async def bound():
        place = f"queues/{broker.vhost}/subscriber.example.recorded/bindings"
        answer = await asyncio.to_thread(broker.api, "GET", place)
        return answer.status_code == 200 and len(answer.json()) == len(types) + 1

    try:
        await eventually(bound)
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def offline(broker):
    async with on(broker, "node_monitor") as bus:
        proposer = Proposer(bus, "node_monitor", CLOCK)
        taken = LeaseAcquired(name="node_monitor", epoch=1, holder="a test")
        await proposer.propose(Draft("lease/node_monitor", taken, expected_version=0))
        event = n.NodeWentOffline(node_id="node-1", silent_s=12, error="no answer")
        await proposer.propose(Draft("node/node-1", event), lease=Lease("node_monitor", 1))


async def said(broker, *drafts):
    async with on(broker, "gateway") as bus:
        await Proposer(bus, "gateway", CLOCK).propose(*drafts)


async def test_alerts_are_raised_carried_listed_and_heard_from_outside(broker, database):
    async with (
        FakeWebhook(statuses=[503]) as receiver,
        platform(broker, database) as (log, journal_bus),
        subscriber(broker, "node.went_offline", "alert.raised") as lines,
    ):
        webhook = a.WebhookRegistered(webhook_id="w", url=receiver.url)
        impatient = a.AlertRuleConfigured(rule="projector_lag", limits={"behind_s": 1})
        configured = Draft("alert-rule/projector_lag", impatient)
        await said(broker, Draft("webhook/w", webhook), configured)
        await offline(broker)
        heard = []
        while len(heard) < 2:  # on a slow machine the read models may lag, and say so
            event = orjson.loads(await asyncio.wait_for(lines.readline(), DEADLINE_S))
            if event["data"].get("rule") != "projector_lag":
                heard.append(event)
        assert [event["type"] for event in heard] == ["node.went_offline", "alert.raised"]
        assert heard[1]["meta"]["causation_id"] == heard[0]["event_id"]

        nonsense = Message(b"nonsense", {"reason": "unreadable"})
        await journal_bus.publish("qm.parked", "parked", nonsense, mandatory=True)

        async def all_raised():
            rules = {each["rule"] for each in await facts(log, "alert.raised")}
            return rules == {"node_offline", "messages_parked", "projector_lag"}

        await eventually(all_raised)

        async def all_delivered():
            return len(await facts(log, "alert.delivered")) == 3

        await eventually(all_delivered)
        await said(broker, Draft("webhook-asked/w", a.WebhookTestAsked(
            webhook_id="w", message_id="test-1")))  # fmt: skip
        await eventually(lambda: _tested(log))
        await projected(database)
        await eventually(lambda: _resolved(log, "projector_lag", database))
    await check_deliveries(database, heard[1])


async def _tested(log):
    return [e for e in await facts(log, "alert.delivered") if e["message_id"] == "test-1"]


async def _resolved(log, rule, database):
    await projected(database)
    return [each for each in await facts(log, "alert.resolved") if each["rule"] == rule]


async def projected(database):
    pool = await connect_pool(database.url("projector"), service="projector", max_size=4)
    try:
        await project_all(pool)
    finally:
        await pool.close()


@asynccontextmanager
async def reading(database):
    pool = await connect_pool(database.url("query"), service="query", max_size=2)
    transport = httpx2.ASGITransport(
        application(DatabaseReader(pool, CheckpointWatch(pool, wait_s=5.0)))
    )
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://query") as client:
            yield client
    finally:
        await pool.close()


async def check_deliveries(database, raised):
    """The delivery log is read page by page, of one message, and as of the past."""
    async with reading(database) as client:

        async def items(**params):
            answer = await client.get("/webhooks/w/deliveries", params=params)
            assert answer.status_code == 200, answer.text
            return answer.json()["items"]

        every = await items()
        assert {"delivered", "failing"} <= {each["state"] for each in every}
        positions = [each["position"] for each in every]
        assert positions == sorted(positions, reverse=True)
        again, first = await items(message_id=raised["event_id"])
        assert (first["state"], first["status_code"], first["attempt"]) == ("failing", 503, 1)
        assert (again["state"], again["attempt"], again["asked"]) == ("delivered", 2, None)
        message = again["message"]
        assert (message["message_type"], message["subject"]) == ("alert.raised", "node-1")
        assert message["data"] == raised["data"]
        (test,) = await items(message_id="test-1")
        assert test["message"]["data"] == {"webhook_id": "w", "message_id": "test-1"}
        assert (test["asked"], test["message"]["message_type"]) == ("test", "alert.test")
        assert await items(message_id=raised["event_id"], as_of=first["position"]) == [first]
        page = await client.get("/webhooks/w/deliveries", params={"limit": 1})
        rest = await items(cursor=page.json()["next_cursor"])
        assert rest == every[1:]
        webhook = (await client.get("/webhooks/w")).json()
        assert webhook["kind"] == "standard"


@pytest.mark.parametrize("example", ["subscriber.py", "receiver.py"])
def test_an_example_is_a_page(example):
    """Twenty lines of code at most, beside imports, blank lines and what is said about them."""
    lines = [line.strip() for line in (EXAMPLES / example).read_text().splitlines()]
    code = [x for x in lines if x and not x.startswith(('"""', "#", "import ", "from "))]
    assert len(code) <= 20
