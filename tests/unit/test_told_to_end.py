"""Who leads and is told to end ends, also when its work fails in the same moment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.envelope import Lease
from services.alerter.handlers import alerting as alerter
from services.alerter.handlers.ports import Pace
from services.chassis.clock import LogClock, SystemClock
from services.chassis.errors import Bug, Unavailable
from services.chassis.health import Health
from services.chassis.leadership import Term, lead
from services.deployer import handlers as deployer
from services.node_monitor import handlers as node_monitor
from services.queue_sampler import handlers as queue_sampler

TERM = Term(Lease("x", 1), 1)
SOON_S = 5.0


class World:
    """Everything the services ask for: it is quiet until the first work, which fails."""

    def __init__(self) -> None:
        self.acting: asyncio.Task[None] | None = None

    def now(self) -> Any:
        return LogClock(SystemClock()).now()

    def monotonic(self) -> float:
        return 0.0

    position = 0

    async def changed(self, timeout_s: float) -> bool:
        await asyncio.Event().wait()
        return False

    async def fail(self, *_: object, **__: object) -> Any:
        """Fail while whoever acts is being told to end."""
        await asyncio.sleep(0)
        assert self.acting is not None
        self.acting.cancel()
        raise Unavailable("away in this very moment")

    sleep = propose = post = stop = fail

    async def propose_all(self, proposals: Any, lease: Any = None) -> list[Any]:
        return await self.fail() if proposals else []


@pytest.fixture
def world():
    return World()


def a_monitor(world, monkeypatch):
    state = SimpleNamespace(nodes={})
    desk = node_monitor.Desk(state, world, world, world, world, node_monitor.Pace())
    return node_monitor.Monitor(desk).act


def a_sampler(world, monkeypatch):
    async def failing(*_: object) -> None:
        await world.fail()

    monkeypatch.setattr(queue_sampler.Sampler, "_sample", failing)
    monkeypatch.setattr(queue_sampler.decide, "due", lambda *_, **__: ["llama"])
    outside = queue_sampler.Outside(world, None, world.fail)
    state, health = SimpleNamespace(queues={}), Health("queue_sampler")
    pace = queue_sampler.Pace()
    return queue_sampler.Sampler(state, world, world, outside, world, health, pace).act


def a_deployer(world, monkeypatch):
    async def failing(*_: object) -> None:
        await world.fail()

    job = SimpleNamespace(node_id="n1", kind="start", subject=None)
    monkeypatch.setattr(deployer.decide, "jobs", lambda _: {"i-1": job})
    monkeypatch.setattr(deployer.Deployer, "_do", failing)
    state = SimpleNamespace(agents={})
    desk = deployer.Desk(state, world, world, world, world.fail, world, deployer.Pace())
    return deployer.Deployer(desk).act


def an_alerter(world, monkeypatch):
    pending = SimpleNamespace(key=("a", "w"), webhook_id="w", alert_id="a", failures=0)
    monkeypatch.setattr(alerter.decide, "alerts", lambda *_: [])
    monkeypatch.setattr(alerter.decide, "due", lambda *_: [pending])
    monkeypatch.setattr(alerter.decide, "letter", lambda *_: None)
    webhook = SimpleNamespace(secret=None, url="x", kind="standard")
    post = alerter.Post(world, world.fail, 1)
    monkeypatch.setattr(post, "send", world.fail)
    made = alerter.Alerter(
        SimpleNamespace(webhooks={"w": webhook}),
        world,
        world,
        post,
        SimpleNamespace(view=lambda: None),
        Health("alerter"),
        Pace(),
    )
    return made.act


@pytest.mark.parametrize("make", [a_monitor, a_sampler, a_deployer, an_alerter])
async def test_an_act_whose_work_fails_as_it_is_told_to_end_has_ended(world, monkeypatch, make):
    act = make(world, monkeypatch)
    world.acting = asyncio.ensure_future(act(TERM))
    await asyncio.wait({world.acting}, timeout=SOON_S)
    assert world.acting.cancelled()


async def test_a_leader_whose_fold_fails_as_it_is_told_to_end_has_ended(world):
    class Follows:
        async def terms(self):
            await asyncio.Event().wait()
            yield

    folding = SimpleNamespace(run=world.fail)
    world.acting = asyncio.ensure_future(lead(Follows(), folding, world.fail))
    await asyncio.wait({world.acting}, timeout=SOON_S)
    assert world.acting.cancelled()


async def test_a_leader_fails_as_its_fold_does():
    class Follows:
        async def terms(self):
            await asyncio.Event().wait()
            yield

    async def broken() -> None:
        raise Bug("cannot fold")

    with pytest.raises(Bug, match="cannot fold"):
        await lead(Follows(), SimpleNamespace(run=broken), lambda _: broken())
