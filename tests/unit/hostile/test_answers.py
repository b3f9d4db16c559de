"""Whatever an agent or a Management API answers, it is an error of ours or can be recorded."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.envelope import Cause, Draft, Lease
from contracts.http.agent import Fence
from contracts.types import Launch
from services.chassis import outbox
from services.chassis.agents import Access, Agents
from services.chassis.clock import SystemClock
from services.chassis.errors import QuartermasterError, Refused
from services.chassis.memory import MemoryBroker
from services.chassis.proposer import Proposer
from services.deployer import decide as deploying
from services.deployer.state import Instance as Wanted
from services.journal.records import Command, Refusal
from services.journal.validate import judge
from services.node_monitor import decide as watching
from services.node_monitor.state import Instance, Node, Watch
from services.queue_sampler.adapters.management import parse
from services.queue_sampler.state import Failure, NotYet, Reading
from tests.fake_agent import gpu
from tests.unit.hostile.mutations import WILD, hostile, spoiled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.chassis.agents import Agent

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
REPORT = {
    "instance_id": "i-1",
    "model_name": "llama",
    "gpu_uuid": "GPU-0",
    "pid": 7,
    "state": "ready",
    "exit_code": 1,
    "endpoint": "http://x",
    "error_code": "slow",
}
STATUS = {
    "node_id": "n",
    "boot_id": "boot-1",
    "change": 1,
    "version": "1.0",
    "supported_models": ["*"],
    "gpus": [gpu(0, (4711,)), gpu(1)],
    "instances": [REPORT],
}
INSTANCE = {"instance": REPORT, "error": "x", "error_code": "y", "load_s": 1.5, "log_tail": "z"}
QUEUE = {
    "name": "q",
    "messages_ready": 1,
    "messages_unacknowledged": 2,
    "consumers": 1,
    "message_stats": {"publish": 3},
}

CAUSE = Cause("e-1", "e-1", 1)
AGENTS = Agents(Access())
STATUSES = st.sampled_from([200, 204, 302, 400, 404, 409, 422, 500])


def bodies(sound: Any) -> st.SearchStrategy[bytes]:
    """Return what a mad peer sends: noise, half an answer, deep nests, sound ones out of joint."""
    whole = json.dumps(sound).encode()
    return st.one_of(
        st.binary(max_size=60),
        st.integers(0, len(whole)).map(lambda end: whole[:end]),
        st.integers(1, 3000).map(lambda deep: b'{"a":' * deep + b"1" + b"}" * deep),
        WILD.map(json.dumps).map(str.encode),
        spoiled(sound).map(json.dumps).map(str.encode),
    )


def ask(status: int, body: bytes, question: Callable[[Agent], Awaitable[Any]]) -> Any:
    """Return what our client makes of an answer: a parsed one, or an error of ours."""

    async def answered(*_: Any) -> tuple[int, bytes]:
        return status, body

    async def asked() -> Any:
        agent = AGENTS.connect("http://127.0.0.1:1")
        agent._exchange = answered  # type: ignore[method-assign]
        try:
            return await question(agent)
        except QuartermasterError as error:
            return error
        finally:
            await agent.close()

    return asyncio.run(asked())


def judged(service: str, draft: Draft) -> Command | Refusal | Refused:
    """Return what the journal says of a draft, or that it could not even be sent."""
    proposal = Proposer(MemoryBroker().bus(service), service, SystemClock())._proposal(
        (draft,), Lease(service, 1)
    )
    try:
        sent = orjson.loads(outbox.encode(proposal))
    except Refused as error:
        return error
    return judge(sent, service, SystemClock().now())


@hostile
@given(STATUSES, bodies(STATUS))
def test_whatever_an_agent_says_of_its_node_is_an_error_or_can_be_told(status: int, body: bytes):
    said = ask(status, body, lambda agent: agent.status())
    if isinstance(said, QuartermasterError) or watching.nonsense(said):
        return
    ours = Instance("i-1", "m", "n", "GPU-0", "boot-1", CAUSE, phase="started", pid=7)
    node, watch = Node("n", "http://x", CAUSE, instances={"i-1": ours}), Watch(0.0)
    watch.compare(node, said, 1)
    told = [draft for drafts in watching.answered(node, watch, said, 1, {}) for draft in drafts]
    if (report := watching.report("n", watch, said, 1.0, 30.0)) is not None:
        told.append(Draft("node-reports/n", report))
    assert told
    for draft in told:
        assert isinstance(judged("node_monitor", draft), Command | Refused)


@hostile
@given(STATUSES, bodies(INSTANCE))
@example(200, json.dumps({**INSTANCE, "load_s": float("inf")}).encode())
def test_whatever_an_agent_says_of_a_worker_is_an_error_or_can_be_told(status: int, body: bytes):
    said = ask(status, body, lambda agent: agent.instance("i-1"))
    if isinstance(said, QuartermasterError):
        return
    wanted = Wanted(
        *("i-1", "m", "llama", "n", "GPU-0", "boot-1", Launch(template="echo"), None, "serve"),
        fence=Fence(epoch=1, position=1),
        requested_at=NOON,
        wanted_by=CAUSE,
    )
    draft = deploying.begun(wanted, said)
    if deploying.is_dead(said):
        stopped = deploying.stopped(wanted, said.instance.exit_code)
        assert isinstance(judged("deployer", stopped), Command | Refused)
    if draft is not None:
        assert isinstance(judged("deployer", draft), Command | Refused)


@hostile
@given(bodies(QUEUE))
def test_whatever_a_management_api_answers_is_a_reading_or_a_failure(body: bytes):
    assert isinstance(parse(body), Reading | NotYet | Failure)
