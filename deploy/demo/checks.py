"""What the demo asks the platform: is nonsense refused, is the log whole, what is parked."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from contracts.envelope import Draft
from contracts.events.queue import QueueSampled
from deploy.local.engines import Engines
from deploy.rabbitmq.permissions import VHOST
from services.chassis import bus, wire
from services.chassis.clock import SystemClock
from services.chassis.errors import QuartermasterError, Unavailable
from services.chassis.ports import Bus
from services.chassis.proposer import Proposer

SERVICE = "demo"
VERIFY_S = 60.0
ATTEMPTS = 3


@dataclass(frozen=True)
class Verified:
    """The journal's word on its log."""

    ok: bool
    checked: int


async def connect(engines: Engines) -> Bus:
    """Return a bus of the demo's own broker user."""
    return await bus.connect(SERVICE, engines.amqp_url(SERVICE))


async def propose_nonsense(of_demo: Bus) -> tuple[int, str]:
    """Propose an event with wrong data; return how many were refused, and the reason."""
    event = QueueSampled.model_construct(
        model_id="nonsense", length=-1, ready=-1, unacknowledged=0, consumers=0
    )
    proposer = Proposer(of_demo, SERVICE, SystemClock())
    try:
        await proposer.propose(Draft("queue-samples/nonsense", event))
    except QuartermasterError as refused:
        return 1, refused.detail
    return 0, "it was recorded"


async def verify_log(of_demo: Bus) -> Verified:
    """Ask the journal to compute every hash of the log again."""
    question = orjson.dumps({"op": "verify"})
    for _ in range(ATTEMPTS - 1):
        with suppress(Unavailable):
            return _verified(await _ask(of_demo, question))
    return _verified(await _ask(of_demo, question))


async def _ask(of_demo: Bus, question: bytes) -> bytes:
    _, body = await of_demo.ask(
        wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, question, timeout_s=VERIFY_S
    )
    return body


def _verified(body: bytes) -> Verified:
    answer: dict[str, Any] = orjson.loads(body)
    return Verified(bool(answer.get("ok")), int(answer.get("checked", 0)))


async def depth(engines: Engines, vhost: str, prefix: str) -> int:
    """Return how many messages wait or are in work in the queues whose names begin so."""
    admin = (engines.admin_user, engines.admin_password)
    url = f"{engines.management_url}/api/queues/{vhost}"
    async with httpx2.AsyncClient(auth=admin, timeout=10.0, trust_env=False) as client:
        answer = await client.get(url, params={"columns": "name,messages"})
        answer.raise_for_status()
        found = (queue for queue in answer.json() if queue["name"].startswith(prefix))
        return sum(queue.get("messages", 0) for queue in found)


async def parked(engines: Engines) -> int:
    """Return how many messages were set aside."""
    return await depth(engines, VHOST, wire.QUEUE_PARKED)
