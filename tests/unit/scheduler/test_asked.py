"""Questions over the bus: answered by any process, for now and for then, or refused with a field."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from weakref import ref

import orjson
import pytest

from contracts.envelope import Draft, Event
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.http.explain import Explanation
from contracts.types import Launch
from services.chassis.clock import SystemClock
from services.chassis.errors import NotFound, Refused, Unavailable
from services.gateway.adapters.scheduler import SchedulerOverBus
from services.scheduler.routes import asked, explain
from services.scheduler.routes.explain import GIVE_WAY_S, Explaining
from services.scheduler.state import State
from services.scheduler.state.fork import still
from tests import builders as b
from tests.in_memory import World, a_world, ended, until
from tests.unit.scheduler.stories import story
from tests.unit.scheduler.test_handlers import a_scheduler, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


NO_PAST: Any = None


async def ask(world: World, kind: str, id_: str, **more: Any) -> Explanation:
    bus = world.broker.bus("gateway")
    question = {"kind": kind, "id": id_, "as_of": None, "min_position": 0, **more}
    try:
        answer, position = await SchedulerOverBus(bus).explain(question)
    finally:
        await bus.close()
    found = Explanation.model_validate_json(answer)
    assert found.position == position
    return found


def without(found: Explanation, *fields: str) -> dict[str, Any]:
    said = found.model_dump(mode="json")
    return {name: value for name, value in said.items() if name not in fields}


async def a_start(world: World, model_id: str = "llama") -> i.InstanceStartRequested:
    found: list[i.InstanceStartRequested] = await until(
        lambda: world.facts(i.InstanceStartRequested, model_id=model_id)
    )
    return found[0]


async def seen(world: World, *events: Event) -> None:
    """Record what the node monitor sees."""
    for event in events:
        await world.as_leader("node_monitor", Draft(b.stream_of(event), event))


async def head(world: World) -> int:
    return (await world.log.head()).position


async def test_a_scheduler_that_is_switched_off_or_stands_by_answers_too(world: World) -> None:
    await tell(world, b.a_model(), *b.a_node())
    async with a_scheduler(world, enable_scheduler=False):
        found = await ask(world, "model", "llama", min_position=await head(world))
        assert found.status == "starting"
        assert found.reasons[0].code == "about_to_start"
    async with a_scheduler(world):
        await a_start(world)
        async with a_scheduler(world):
            told = [await ask(world, "model", "llama") for _ in range(4)]
    assert {each.status for each in told} == {"starting"}
    assert {each.sentence for each in told} == {
        "llama is starting on GPU 0 of n1 because it must have at least 1 instance and had none."
    }


async def test_who_asks_before_anything_is_new_shares_a_copy_and_nobody_is_told_what_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[ref[State]] = []

    def counted(state: State) -> State:
        copied = still(state)
        copies.append(ref(copied))
        return copied

    monkeypatch.setattr(explain, "still", counted)
    async with a_scheduler(world, enable_scheduler=False):
        await tell(world, b.a_model())
        least = await head(world)
        await ask(world, "model", "llama", min_position=least)
        gc.collect()
        assert copies.pop()() is None  # it is not held when nobody looks at it
        asks = (ask(world, "model", "llama", min_position=least) for _ in range(3))
        told = await asyncio.gather(*asks)
        assert all(found.reasons[0].code != "about_to_start" for found in told)
        assert len(copies) == 1
        await tell(world, *b.a_node())
        found = await ask(world, "model", "llama", min_position=await head(world))
        assert found.reasons[0].code == "about_to_start"
        assert len(copies) == 2


async def test_what_was_said_then_is_said_of_then_later(world: World) -> None:
    async with a_scheduler(world):
        await tell(world, b.a_model(), *b.a_node())
        start = await a_start(world)
        await tell(world, b.started(start.instance_id))
        least = await head(world)
        kinds = {"model": "llama", "instance": start.instance_id, "node": "n1", "gpu": "n1:0"}
        then = {
            kind: await ask(world, kind, id_, min_position=least) for kind, id_ in kinds.items()
        }
        await tell(world, b.a_model("coder"))
        await seen(world, b.offline(), b.died(start.instance_id))
        await until(lambda: world.facts(g.GpuFreed))
        for kind, found in then.items():
            at = found.at.isoformat()
            again = await ask(world, kind, kinds[kind], as_of=at)
            assert without(again) == without(found)
            by_position = await ask(world, kind, kinds[kind], as_of=str(found.position))
            assert without(by_position, "at", "reasons") == without(found, "at", "reasons")
        now = await ask(world, "instance", start.instance_id)
    assert now.status == "died"
    assert now.sentence == "llama ended on GPU 0 of n1 because its process ended by itself."


async def test_what_ended_long_ago_is_known_and_where_its_model_went(world: World) -> None:
    async with a_scheduler(world):
        await tell(world, b.a_model(), *b.a_node(gpus=2))
        start = await a_start(world)
        await tell(world, b.started(start.instance_id))
        await seen(world, b.died(start.instance_id, because="lost"))
        await until(lambda: world.facts(g.GpuFreed))
        await until(lambda: len(world.facts(i.InstanceStartRequested)) == 2)
        found = await ask(world, "instance", start.instance_id, min_position=await head(world))
        assert [each.code for each in found.reasons[:2]] == ["died_lost", "below_floor"]
        assert found.reasons[1].position > found.reasons[0].position
        assert "llama was started again, as i-" in found.reasons[1].sentence


async def test_what_is_not_there_is_said_by_kind_of_refusal_and_field(world: World) -> None:
    async with a_scheduler(world):
        await tell(world, b.a_model(), *b.a_node())
        await a_start(world)
        first = (await world.log.read(0, 1))[0]["recorded_at"]
        for kind in ("model", "instance", "node", "gpu"):
            with pytest.raises(NotFound, match="nobody"):
                await ask(world, kind, "nobody")
            with pytest.raises(NotFound):
                await ask(world, kind, "llama", as_of="1") if kind != "model" else await ask(
                    world, "model", "nobody", as_of="1"
                )
        with pytest.raises(NotFound, match="no model lama: is llama meant"):
            await ask(world, "model", "lama")
        with pytest.raises(NotFound, match=r"no node n1 at position 1$"):
            await ask(world, "node", "n1", as_of="1")
        for wrong in ("0", "999999", "yesterday", "2999-01-01T00:00:00Z", "1999-01-01T00:00:00Z"):
            with pytest.raises(Refused) as refused:
                await ask(world, "model", "llama", as_of=wrong)
            assert refused.value.numbers["field"] == "as_of", wrong
        with pytest.raises(Refused, match="min_position"):
            await ask(world, "model", "llama", as_of="1", min_position=5)
        with pytest.raises(Refused) as refused:
            await ask(world, "queue", "llama")
        assert refused.value.numbers["field"] == "kind"
        plus = first.isoformat().replace("+", " ")
        with pytest.raises(NotFound):
            await ask(world, "model", "nobody", as_of=plus)


async def test_a_question_nobody_can_answer_yet_waits_and_is_then_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.routes.explain.REACH_S", 0.05)
    async with a_scheduler(world):
        await tell(world, b.a_model())
        with pytest.raises(Unavailable):
            await ask(world, "model", "llama", min_position=10_000)


class Stumbles:
    async def explain(self, question: asked.Question) -> Explanation:
        raise ZeroDivisionError


async def test_a_fault_of_ours_ends_nothing_and_tells_nothing(world: World) -> None:
    async def ready() -> None:
        return

    bus = world.broker.bus("scheduler")
    asking = asyncio.create_task(asked.Asked(bus, Stumbles(), ready, asyncio.sleep).run())
    gateway = world.broker.bus("gateway")
    question = orjson.dumps({"op": "explain", "kind": "model", "id": "x"})
    for _ in range(2):
        headers, body = await gateway.ask("qm.asked", asked.QUEUE, question)
        assert headers["error"] == "bug"
        assert orjson.loads(body)["detail"] == "ZeroDivisionError"
    bus.cut()
    headers, _ = await gateway.ask("qm.asked", asked.QUEUE, b"[]")
    assert headers["error"] == "refused"
    await ended(asking)
    await gateway.close()
    await bus.close()


async def test_no_secret_and_no_launch_is_in_an_answer(world: World) -> None:
    launch = Launch(template="worker", parameters={"token": "canary-token"})
    queue = b.a_queue(username="canary-user")
    async with a_scheduler(world):
        await tell(world, b.a_model(launch=launch, queue=queue), *b.a_node())
        start = await a_start(world)
        await tell(world, b.started(start.instance_id))
        for kind, id_ in (("model", "llama"), ("instance", start.instance_id), ("node", "n1")):
            assert "canary" not in (await ask(world, kind, id_)).model_dump_json()


async def test_a_decision_that_is_due_comes_first_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.scheduler.routes.explain.SLICE_S", 0.0)
    spec = story(b.a_model(), *b.a_node())
    looked = 0

    def is_deciding() -> bool:
        nonlocal looked
        looked += 1
        return True

    class Here:
        position = spec.state.position

        def now(self) -> datetime:
            return spec.log.now

        async def reach(self, position: int, timeout_s: float = 10.0) -> None:
            return

        async def caught_up(self) -> None:
            return

    class Told:
        async def facts(self, *_: Any) -> list[Any]:
            return spec.log.events

        async def when(self, point: Any) -> Any:
            raise AssertionError(point)

    clock = SystemClock()
    explaining = Explaining(
        spec.state,
        Here(),
        NO_PAST,
        Told(),
        clock,
        is_deciding,
    )
    began = clock.monotonic()
    found = await explaining.explain(asked.Question(op="explain", kind="model", id="llama"))
    assert found.status == "starting"
    assert looked > 1
    assert clock.monotonic() - began >= GIVE_WAY_S
