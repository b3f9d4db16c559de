"""What must never happen, whatever does: checked against the log, not the scheduler's mind."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.catalogue import read
from contracts.envelope import Cause, Draft, Recorded
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from services.scheduler.decide import decide
from services.scheduler.state import State
from tests import builders as b
from tests.spec import Spec

MODELS = ("a", "b", "c", "d")
NODES = {"n1": ("*",), "n2": ("a", "b"), "n3": ("c",)}
GPUS = 2
BOUNDS = ((0, 1), (1, 1), (1, 3), (2, 2), (2, 4))
WINDOW_S = 300.0


class Ledger:
    """The few facts the rules are about, each kept in the plainest way."""

    def __init__(self) -> None:
        self.online: dict[str, bool] = {}
        self.dirty: dict[str, bool] = defaultdict(bool)
        self.holder: dict[str, str] = {}
        self.instances: dict[str, dict[str, Any]] = {}
        self.max: dict[str, int] = {}
        self.samples: dict[str, list[tuple[float, int]]] = defaultdict(list)

    def take(self, recorded: Recorded) -> None:
        event: Any = read(recorded)
        at_s = recorded.recorded_at.timestamp()
        match event:
            case g.GpuAllocated():
                assert event.gpu_uuid not in self.holder, "two allocations of one GPU"
                self.holder[event.gpu_uuid] = event.instance_id
            case g.GpuFreed():
                assert self.instances[event.instance_id]["dead"], "freed without a death"
                assert self.holder.pop(event.gpu_uuid) == event.instance_id
            case g.GpuQuarantined() | g.GpuReleased():
                self.dirty[event.gpu_uuid] = isinstance(event, g.GpuQuarantined)
            case i.InstanceStartRequested():
                assert event.instance_id not in self.instances
                self.instances[event.instance_id] = {
                    "model": event.model_id,
                    "node": event.node_id,
                    "gpu": int(event.gpu_uuid[-1]),
                    "uuid": event.gpu_uuid,
                    "pinned": event.pinned,
                    "phase": "requested",
                    "dead": False,
                }
            case i.InstanceStarted():
                self.instances[event.instance_id]["phase"] = "ready"
            case i.InstanceStopRequested():
                self.instances[event.instance_id]["phase"] = "stopping"
            case i.InstanceStopped() | i.InstanceStartFailed() | i.InstanceDied():
                self.instances[event.instance_id]["dead"] = True
            case m.ModelRegistered() | m.ModelUpdated():
                self.max[event.model_id] = event.max_instances
            case m.ModelDeleted():
                self.max.pop(event.model_id, None)
                self.samples.pop(event.model_id, None)
            case b.n.NodeCameOnline() | b.n.NodeWentOffline():
                self.online[event.node_id] = isinstance(event, b.n.NodeCameOnline)
            case b.n.NodeReported():
                for use in event.gpus:
                    self.dirty[use.uuid] = bool(use.foreign_pids)
            case b.q.QueueSampled():
                self.samples[event.model_id].append((at_s, event.length))
            case _:
                pass

    def reachable(self, model_id: str) -> list[dict[str, Any]]:
        return [
            each
            for each in self.instances.values()
            if each["model"] == model_id and not each["dead"] and self.online.get(each["node"])
        ]

    def is_idle(self, model_id: str, now_s: float) -> bool:
        samples = self.samples[model_id]
        recent = [length for at_s, length in samples if at_s > now_s - WINDOW_S]
        return bool(samples) and now_s - samples[-1][0] <= 180 and not any(recent)


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.asks = 0
        self.spec = Spec(State(), decide, epoch=1)
        for node_id, supported in NODES.items():
            self.tell(*b.a_node(node_id, gpus=GPUS, supported=supported))
        for model_id in MODELS:
            self.tell(b.a_model(model_id, max_instances=2))

    def tell(self, *events: Any) -> None:
        for event in events:
            recorded = self.spec.log.record(event)
            self.ledger.take(recorded)
            self.spec.state.apply(recorded)

    def living(self) -> list[str]:
        return [key for key, each in self.ledger.instances.items() if not each["dead"]]

    def where(self, instance_id: str) -> dict[str, Any]:
        each = self.ledger.instances[instance_id]
        return {
            "instance_id": instance_id,
            "model_id": each["model"],
            "node_id": each["node"],
            "gpu": each["gpu"],
        }

    @rule(seconds=st.sampled_from((1, 60, 61, 240, 700)))
    def time_passes(self, seconds: int) -> None:
        self.spec.after(seconds)

    @rule(lengths=st.lists(st.sampled_from((0, 0, 0, 3, 20, 90)), min_size=4, max_size=4))
    def queues_are_sampled(self, lengths: list[int]) -> None:
        for _ in range(6):
            self.spec.after(60)
            for model_id, length in zip(MODELS, lengths, strict=True):
                self.tell(b.sampled(model_id, length))
        self.the_scheduler_decides()

    @rule()
    def everything_comes_true(self) -> None:
        for node_id in NODES:
            self.a_node_reports(node_id, {})
        self.the_scheduler_decides()
        for instance_id in self.living():
            self.comes_true(instance_id)
        self.the_scheduler_decides()

    @rule(node_id=st.sampled_from(tuple(NODES)), foreign=st.sampled_from(({}, {}, {0: 7}, {1: 7})))
    def a_node_reports(self, node_id: str, foreign: dict[int, int]) -> None:
        if self.ledger.online[node_id]:
            running = {
                each["gpu"]: key
                for key, each in self.ledger.instances.items()
                if each["node"] == node_id and not each["dead"]
            }
            self.tell(b.a_report(node_id, gpus=GPUS, foreign=foreign, running=running))

    @rule(node_id=st.sampled_from(tuple(NODES)))
    def a_node_goes_and_comes(self, node_id: str) -> None:
        went = self.ledger.online[node_id]
        self.tell(b.offline(node_id) if went else b.online(node_id))

    @rule(suspected=st.booleans())
    def silence(self, suspected: bool) -> None:
        self.tell(b.silence_suspected() if suspected else b.silence_cleared())

    @precondition(lambda self: self.living())
    @rule(data=st.data(), how=st.sampled_from(("start", "start", "stop", "fail", "die", "lose")))
    def an_instance_moves_on(self, data: st.DataObject, how: str) -> None:
        instance_id = data.draw(st.sampled_from(self.living()))
        where = self.where(instance_id)
        phase = self.ledger.instances[instance_id]["phase"]
        if how == "start" and phase == "requested":
            self.tell(b.started(**where))
        elif how == "stop" and phase == "stopping":
            self.tell(b.stopped(**where))
        elif how == "fail" and phase == "requested":
            self.tell(b.start_failed(**where))
        elif how in {"die", "lose"}:
            self.tell(b.died(**where, because="exited" if how == "die" else "rebooted"))

    @rule(
        model_id=st.sampled_from(MODELS),
        node_id=st.sampled_from(tuple(NODES)),
        gpu_index=st.sampled_from((None, 0, 1)),
    )
    def somebody_asks(self, model_id: str, node_id: str, gpu_index: int | None) -> None:
        self.asks += 1
        fields = {"node_id": node_id, "gpu_index": gpu_index}
        self.tell(b.start_asked(f"ask-{self.asks}", model_id, **fields))

    @rule(model_id=st.sampled_from(MODELS), known=st.booleans(), bounds=st.sampled_from(BOUNDS))
    def a_model_changes(self, model_id: str, known: bool, bounds: tuple[int, int]) -> None:
        fields = {"min_instances": bounds[0], "max_instances": bounds[1]}
        if known:
            self.tell(b.model_updated(model_id, **fields))
        else:
            self.tell(m.ModelDeleted(model_id=model_id), b.a_model(model_id, **fields))

    @rule()
    def the_scheduler_decides(self) -> None:
        self.spec.when_deciding()
        for drafts in self.spec.proposals:
            assert self.spec.log.accepts(drafts), f"would be in conflict: {drafts}"
            for draft in drafts:
                self.check(draft)
                self.tell(draft)

    def check(self, draft: Draft) -> None:
        cause = self.spec.log.find(draft.causation_id)
        assert cause is not None, f"a decision without a cause: {draft}"
        assert draft.correlation_id == Cause.of(cause).correlation_id
        ledger, event = self.ledger, draft.event
        if isinstance(event, g.GpuAllocated):
            assert ledger.online[event.node_id], "allocated on a node that is offline"
            assert not ledger.dirty[event.gpu_uuid], "allocated although something is on it"
        elif isinstance(event, i.InstanceStartRequested):
            supported = NODES[event.node_id]
            assert event.model_name in supported or "*" in supported, "not supported there"
            mine = ledger.reachable(event.model_id)
            serving = [each for each in mine if each["phase"] != "stopping"]
            assert len(serving) < ledger.max[event.model_id], "more than the maximum"
            if not event.pinned:
                assert not [each for each in serving if each["phase"] == "requested"]
        elif isinstance(event, i.InstanceStopRequested) and event.reason.code == "replaced":
            victim = ledger.instances[event.instance_id]
            assert victim["phase"] == "ready", "replaced what was not ready"
            assert not victim["pinned"], "replaced what was pinned"
            assert self.spec.state.silence_since_s is None, "evicted in a suspected silence"
            now_s = self.spec.log.now.timestamp()
            assert ledger.is_idle(event.model_id, now_s), "replaced a model that was in use"

    @invariant()
    def the_counts_are_those_of_the_instances(self) -> None:
        for model in self.spec.state.models.values():
            kinds = [self.spec.state.instances[each].kind for each in model.instances]
            assert model.counts == {kind: kinds.count(kind) for kind in model.counts}

    def teardown(self) -> None:
        """A scheduler that only reads the log stands where this one does."""
        other = State()
        for recorded in self.spec.log.events:
            other.apply(recorded)
        assert repr(other) == repr(self.spec.state)
        self.converge()

    def comes_true(self, instance_id: str) -> None:
        phase = self.ledger.instances[instance_id]["phase"]
        if phase == "requested":
            self.tell(b.started(**self.where(instance_id)))
        elif phase == "stopping":
            self.tell(b.stopped(**self.where(instance_id)))

    def converge(self) -> None:
        """With the faults over, every model ends with its floor or an open reason."""
        self.tell(b.silence_cleared())
        self.tell(*(b.online(node_id) for node_id in NODES if not self.ledger.online[node_id]))
        before = 0
        for _ in range(60):
            self.spec.after(61)
            for node_id in NODES:
                self.a_node_reports(node_id, {})
            for instance_id in self.living():
                self.comes_true(instance_id)
            before = len(self.spec.log.events)
            self.the_scheduler_decides()
        assert len(self.spec.log.events) == before, self.spec.events
        for model in self.spec.state.models.values():
            served = model.counts["ready"] >= model.floor
            assert served != (model.floor_open is not None), model


TestNever = Fleet.TestCase
TestNever.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
