"""What the spine must do: propose, record, publish, follow, lead; in memory and on real engines."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import orjson
import pytest

from contracts.envelope import Draft, Proposal, Proposed
from contracts.events.environment import EnvironmentCreated
from contracts.events.model import ModelFloorMet
from contracts.events.queue import QueueSampled
from services.chassis import wire
from services.chassis.clock import LogClock, SystemClock
from services.chassis.errors import Conflict, Fenced, Refused
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.ids import uuid7
from services.chassis.leadership import Leadership, Term, lead
from services.chassis.ports import Message
from services.chassis.proposer import Proposer

SOON_S = 10.0
CLOCK = SystemClock()
CREATED = frozenset({"environment.created"})


def created(**changes) -> Draft:
    name = uuid7()
    event = EnvironmentCreated(environment_id=name, name="an environment")
    return Draft(**({"stream": f"environment/{name}", "event": event} | changes))


def sampled() -> Draft:
    event = QueueSampled(model_id="m", length=1, ready=1, unacknowledged=0)
    return Draft("queue-samples/m", event)


def floor_met() -> Draft:
    name = uuid7()
    return Draft(f"model-floor/{name}", ModelFloorMet(model_id=name, instances=1, floor=1))


class Folded:
    """A follower's state for tests: what it was given, in order."""

    def __init__(self, bus, service: str, types: frozenset[str], *, fails_at: str = "") -> None:
        self.events: list = []
        self.stopped = ""
        self.fails_at = fails_at
        self.follower = Follower(bus, service, types, CLOCK)
        self.folding = Folding(
            self.follower, self._apply, LogClock(CLOCK), on_stopped=self._stop, service=service
        )
        self.running = asyncio.create_task(self.folding.run())

    def _apply(self, event) -> None:
        if event.event_id == self.fails_at:
            raise ValueError("cannot digest this")
        self.events.append(event)

    def _stop(self, detail: str) -> None:
        self.stopped = detail

    async def reach(self, position: int) -> list[int]:
        await self.folding.reach(position, SOON_S)
        return [event.position for event in self.events]

    async def close(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


async def until(condition) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.01)


class SpineSuite:
    """Subclass it, and give `connect` (a service's bus), `log`, and a running `journal`."""

    @pytest.fixture
    async def buses(self, connect, journal):
        made = []

        async def make(service: str):
            made.append(await connect(service))
            return made[-1]

        yield make
        for bus in made:
            await bus.close()

    @pytest.fixture
    async def gateway(self, buses):
        return Proposer(await buses("gateway"), "gateway", CLOCK)

    @pytest.fixture
    async def follow(self, buses):
        made = []

        async def make(service: str = "scheduler", types=CREATED, **how) -> Folded:
            made.append(Folded(await buses(service), service, types, **how))
            return made[-1]

        yield make
        for folded in made:
            await folded.close()

    async def test_what_is_proposed_is_recorded_and_reaches_every_follower(self, gateway, follow):
        followers = [await follow("scheduler"), await follow("deployer")]
        accepted = await gateway.propose(created(), created())
        for folded in followers:
            positions = await folded.reach(accepted.position)
            assert positions[-2:] == list(accepted.positions)
        event = followers[0].events[-1]
        assert event.data["name"] == "an environment"
        assert (event.meta.actor, event.meta.proposer) == ("gateway", "gateway")

    async def test_a_follower_that_comes_late_gets_everything_once_and_in_order(
        self, gateway, follow
    ):
        accepted = await gateway.propose_all([[created()] for _ in range(300)])
        late = await follow()
        racing = asyncio.create_task(gateway.propose_all([[created()] for _ in range(300)]))
        last = (await racing)[-1].position
        positions = await late.reach(last)
        assert positions == sorted(set(positions))
        wanted = {a.position for a in accepted} | {a.position for a in await racing}
        assert wanted <= set(positions)

    async def test_a_follower_passes_over_types_it_does_not_fold(self, buses, follow, gateway):
        sampler = Proposer(await buses("queue_sampler"), "queue_sampler", CLOCK)
        folded = await follow()
        sampler.offer(*(sampled() for _ in range(20)))
        await sampler.flush()
        accepted = await gateway.propose(created())
        await folded.reach(accepted.position)
        assert {event.type for event in folded.events} == {"environment.created"}

    async def test_a_wrong_expected_version_is_a_conflict_with_the_current_one(self, gateway):
        draft = created(expected_version=0)
        await gateway.propose(draft)
        with pytest.raises(Conflict) as raised:
            await gateway.propose(draft)
        assert raised.value.numbers["current"] == 1
        assert raised.value.numbers["stream"] == draft.stream

    async def test_the_same_ids_again_answer_the_same_positions(self, gateway):
        draft, ids = created(expected_version=0), [uuid7()]
        first = await gateway.propose(draft, event_ids=ids)
        again = await gateway.propose(draft, event_ids=ids)
        assert (again.positions, again.duplicate) == (first.positions, True)

    async def test_who_may_not_propose_a_type_is_refused(self, buses):
        scheduler = Proposer(await buses("scheduler"), "scheduler", CLOCK)
        with pytest.raises(Refused, match=r"events\.0\.type: scheduler may not propose"):
            await scheduler.propose(created())

    async def test_a_decision_needs_its_lease(self, buses):
        scheduler = Proposer(await buses("scheduler"), "scheduler", CLOCK)
        with pytest.raises(Refused, match="needs the lease of scheduler"):
            await scheduler.propose(floor_met())

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"data": {"environment_id": "e"}}, r"events\.0\.data\.name"),
            ({"data": {"environment_id": "e", "name": "x\x00"}}, r"events\.0\.data\.name"),
            ({"data": {"environment_id": "e", "name": "x", "more": "a\x00b"}}, "NUL"),
            ({"data": {"environment_id": "e", "name": "x", "more": "y" * 70_000}}, "65536"),
            ({"type": "no.such"}, r"events\.0\.type"),
            ({"schema_version": 99}, r"events\.0\.type"),
            ({"stream": "nowhere"}, r"events\.0\.stream"),
            ({"event_id": "4f0c9c0e-0000-4000-8000-000000000000"}, r"events\.0\.event_id"),
            ({"event_id": "ffffffff-ffff-7000-8000-000000000000"}, "hour ahead"),
            ({"actor": ""}, r"events\.0\.actor"),
            ({"expected_version": -1}, r"events\.0\.expected_version"),
        ],
    )
    async def test_bad_input_is_refused_by_the_name_of_its_field(self, buses, change, field):
        bus = await buses("gateway")
        fields = {
            "event_id": uuid7(),
            "stream": "environment/e",
            "type": "environment.created",
            "schema_version": 1,
            "data": {"environment_id": "e", "name": "x"},
            "occurred_at": datetime.now(UTC),
            "actor": "somebody",
        }
        proposal = Proposal((Proposed(**(fields | change)),))
        body = wire.encode_proposals([wire.encode_proposal(proposal)])
        _, answer = await bus.ask(wire.EXCHANGE_PROPOSED, "proposal", body)
        result = orjson.loads(answer)["results"][0]
        assert result["verdict"] == "refused"
        with pytest.raises(AssertionError if not field else Refused, match=field):
            raise Refused(result["detail"])

    async def test_who_is_behind_and_what_is_parked_is_told(self, buses, gateway):
        bus = await buses("gateway")
        done = await gateway.propose(created())

        async def lag():
            question = orjson.dumps({"op": "lag"})
            return orjson.loads(
                (await bus.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, question))[1]
            )

        async with asyncio.timeout(10):
            while (said := await lag())["published"]["position"] < done.position:
                await asyncio.sleep(0.02)
        assert said["published"]["behind_s"] == 0
        assert said["head"] >= done.position
        assert said["parked"] == 0
        if said["read_models"] is not None:  # nobody projects here
            assert said["read_models"]["position"] == 0
            assert said["read_models"]["behind_s"] > 0

    async def test_the_unreadable_is_parked_with_its_reason_and_others_go_on(
        self, buses, gateway, parked
    ):
        bus = await buses("gateway")
        for body in (b"\xff\xfe", b"[]", b'{"proposals": 7}'):
            await bus.publish(wire.EXCHANGE_PROPOSED, "proposal", Message(body), mandatory=True)
        await gateway.propose(created())
        headers = [await parked() for _ in range(3)]
        assert {h["reason"] for h in headers} == {"unreadable"}
        assert {h["proposer"] for h in headers} == {"gateway"}

    async def test_a_proposal_refused_while_nobody_waits_is_parked(self, buses, gateway, parked):
        gateway.offer(sampled())
        await gateway.flush()
        headers = await parked()
        assert headers["reason"] == "not_allowed"
        assert "gateway may not propose queue.sampled" in headers["detail"]

    async def test_one_leads_and_the_next_one_fences_it(self, buses, follow):
        first_bus, second_bus = await buses("scheduler"), await buses("scheduler")
        terms: dict[str, Term] = {}

        async def contend(bus, name: str) -> None:
            proposer = Proposer(bus, "scheduler", CLOCK)
            folded = await follow("scheduler")
            folded.running.cancel()

            async def act(term: Term) -> None:
                terms[name] = term
                await asyncio.Event().wait()

            await lead(Leadership(bus, proposer, "scheduler", name), folded.folding, act)

        first = asyncio.create_task(contend(first_bus, "first"))
        await until(lambda: "first" in terms)
        second = asyncio.create_task(contend(second_bus, "second"))
        await asyncio.sleep(0.3)
        assert "second" not in terms
        first.cancel()
        await until(lambda: "second" in terms)
        assert terms["second"].epoch == terms["first"].epoch + 1
        late = Proposer(first_bus, "scheduler", CLOCK)
        with pytest.raises(Fenced):
            await late.propose(floor_met(), lease=terms["first"].lease)
        await late.propose(floor_met(), lease=terms["second"].lease)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(first, second)

    async def test_a_fold_stops_at_what_it_cannot_digest_until_an_operator_lets_it_pass(
        self, buses, gateway, follow
    ):
        poison = uuid7()
        folded = await follow(fails_at=poison)
        accepted = await gateway.propose(created(), event_ids=[poison])
        after = await gateway.propose(created())
        await until(lambda: folded.stopped)
        assert f"position {accepted.position}" in folded.stopped
        assert folded.folding.position < accepted.position
        await gateway.propose(_skip(accepted.position, poison))
        positions = await folded.reach(after.position)
        assert accepted.position not in positions
        assert after.position in positions
        assert folded.stopped == ""

    async def test_verification_is_asked_of_the_journal(self, buses, gateway):
        await gateway.propose(created())
        bus = await buses("gateway")
        _, body = await bus.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, b'{"op":"verify"}')
        assert orjson.loads(body)["ok"] is True

    @pytest.mark.parametrize(
        ("question", "complaint"),
        [
            (b"{", "JSON"),
            (b"[]", "op"),
            (b'{"op":"drop"}', "op: drop"),
            (b'{"op":"history","after":-1}', "after"),
        ],
    )
    async def test_a_bad_question_is_answered_with_what_is_wrong(self, buses, question, complaint):
        bus = await buses("gateway")
        headers, _ = await bus.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, question)
        assert complaint in headers["error"]


def _skip(position: int, event_id: str) -> Draft:
    from contracts.events.control import FoldSkipped

    event = FoldSkipped(service="scheduler", position=position, event_id=event_id, why="a test")
    return Draft("fold/scheduler", event)
