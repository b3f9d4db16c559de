"""Every counterfactual told is true: change that one thing in the log, decide again, it happens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from contracts.events import strategy as s
from services.scheduler.decide.explain.clauses import CLAUSES
from tests import builders as b
from tests.unit.scheduler.explaining import changed, happens, why
from tests.unit.scheduler.stories import sample, story
from tests.unit.scheduler.test_never import BOUNDS, MODELS, NODES, Fleet

if TYPE_CHECKING:
    from contracts.http.explain import Counterfactual
    from services.scheduler.state import State
    from tests.spec import Spec

NUMBERS = frozenset({"mean_queue_length", "quiet_s", "free_gpus", "waits"})
UNKNOWN = re.compile(r"\{|\}|None| {2}|: \.|\.\.|, ,")


def reads_well(found: Any) -> None:
    assert found.sentence.endswith(".")
    assert found.reasons, found
    sentences = [found.sentence, *(each.sentence for each in found.reasons)]
    sentences += [each.sentence for each in (*found.alternatives, *found.counterfactuals)]
    sentences += [each.sentence for each in found.history]
    for sentence in sentences:
        assert not UNKNOWN.search(sentence), sentence
    for each in found.alternatives:
        assert each.code in CLAUSES, each


def is_true(spec: Spec[State], told: Counterfactual) -> None:
    """Demand that it happens with the change, not without it, and not with any less of it."""
    events, now = spec.log.events, spec.log.now
    live = spec.state.models[told.effect.model_id].live
    assert not happens(spec.state, now, told, live), f"happens anyway: {told}"
    state, then = changed(events, told.change, now)
    assert happens(state, then, told, live), f"does not happen: {told}"
    less = told.change.needed
    if told.change.field in NUMBERS and isinstance(less, int) and less > 1:
        smaller = told.change.model_copy(update={"needed": less - 1})
        state, then = changed(events, smaller, now)
        assert not happens(state, then, told, live), f"{less - 1} does it, too: {told}"


@dataclass
class Machine:
    """What a node is like."""

    gpus: int
    supported: tuple[str, ...]
    trouble: str


MACHINES = st.builds(
    Machine,
    gpus=st.integers(1, 2),
    supported=st.sampled_from((("*",), ("*",), ("a", "b"), ("c",))),
    trouble=st.sampled_from(("", "", "", "offline", "foreign", "quarantined", "hidden")),
)
LENGTHS = st.lists(st.sampled_from((0, 0, 2, 9, 14, 15, 40)), min_size=4, max_size=4)


@dataclass
class AFleet:
    """A fleet's life in a few rounds: queues, decisions, and what becomes of them."""

    bounds: list[tuple[int, int]]
    machines: list[Machine]
    rounds: list[list[int]]
    fails: list[bool]
    is_active: bool
    is_suspected: bool
    minutes: int

    def lived(self) -> Spec[State]:
        spec = story()
        self.spec = spec
        for model_id, (low, high) in zip(MODELS, self.bounds, strict=True):
            fields = {"min_instances": low, "max_instances": high}
            spec.given(b.a_model(model_id, **fields))
        for k, machine in enumerate(self.machines):
            offered = range(machine.gpus - (machine.trouble == "hidden"))
            node_id = f"n{k}"
            known: dict[str, Any] = {"gpus": machine.gpus, "supported": machine.supported}
            spec.given(*b.a_node(node_id, available=tuple(offered), **known))
        spec.given(b.a_strategy("s1"), b.a_strategy("s2", order=1, active=False))
        if not self.is_active:
            spec.given(s.StrategyDeactivated(strategy_id="s1"))
        for turn, lengths in enumerate(self.rounds):
            minutes = 6 if turn + 1 < len(self.rounds) else self.minutes
            sample(spec, dict(zip(MODELS, lengths, strict=True)), minutes=minutes)
            self.decided()
            if turn == 0:
                self.troubled()
        if self.is_suspected:
            spec.given(b.silence_suspected())
        self.decided()
        return spec

    def decided(self) -> None:
        for turn in range(3):
            self.spec.when_deciding().when_recorded()
            self.come_true(turn)
        self.spec.when_deciding().when_recorded()

    def come_true(self, turn: int) -> None:
        for instance_id, each in list(self.spec.state.instances.items()):
            where: dict[str, Any] = {
                "instance_id": instance_id,
                "model_id": each.model_id,
                "node_id": each.node_id,
                "gpu": self.spec.state.gpus[each.gpu_uuid].index,
            }
            if each.kind == "requested":
                fails = self.fails[MODELS.index(each.model_id)] and turn < 2
                self.spec.given(b.start_failed(**where) if fails else b.started(**where))
            elif each.kind == "stopping":
                self.spec.given(b.stopped(**where))

    def troubled(self) -> None:
        for k, machine in enumerate(self.machines):
            node_id = f"n{k}"
            foreign = b.a_report(node_id, gpus=machine.gpus, foreign={0: 7})
            if machine.trouble == "offline":
                self.spec.given(b.offline(node_id))
            elif machine.trouble == "foreign":
                self.spec.given(foreign)
            elif machine.trouble == "quarantined":
                self.spec.given(foreign, foreign)


FLEETS = st.builds(
    AFleet,
    bounds=st.lists(st.sampled_from(BOUNDS), min_size=4, max_size=4),
    machines=st.lists(MACHINES, min_size=1, max_size=3),
    rounds=st.lists(LENGTHS, min_size=1, max_size=3),
    fails=st.lists(st.sampled_from((False, False, False, True)), min_size=4, max_size=4),
    is_active=st.sampled_from((True, True, True, False)),
    is_suspected=st.sampled_from((False, False, False, True)),
    minutes=st.sampled_from((1, 3, 6)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(FLEETS)
def test_what_is_said_would_happen_happens_and_nothing_less_would_do(fleet: AFleet) -> None:
    spec = fleet.lived()
    subjects = [
        *(("model", each) for each in spec.state.models),
        *(("instance", each) for each in spec.state.instances),
        *(("gpu", each) for each in spec.state.gpus),
        *(("node", each) for each in spec.state.nodes),
    ]
    for kind, id_ in subjects:
        found = why(spec, kind, id_)
        reads_well(found)
        for told in found.counterfactuals:
            is_true(spec, told)


class Asked(Fleet):
    """The fleets of `test_never`, where somebody asks why at any moment."""

    @rule(data=st.data())
    def somebody_asks_why(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(("model", "instance", "gpu", "node")))
        known: dict[str, Any] = {
            "model": self.spec.state.models,
            "instance": self.ledger.instances,
            "gpu": self.spec.state.gpus,
            "node": NODES,
        }
        assume(known[kind])
        found = why(self.spec, kind, data.draw(st.sampled_from(list(known[kind]))))
        reads_well(found)
        for told in found.counterfactuals:
            is_true(self.spec, told)


TestAtAnyMoment = Asked.TestCase
TestAtAnyMoment.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
