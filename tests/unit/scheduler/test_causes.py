"""Every decision names the event it came of, and belongs to the chain of that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from tests import builders as b
from tests.unit.scheduler.stories import sample, story

if TYPE_CHECKING:
    from contracts.envelope import Event, Recorded
    from services.scheduler.state import State
    from tests.spec import Spec


def cause_of(spec: Spec[State], type_: type[Event]) -> Recorded:
    """Return the event that the only proposed event of a type came of."""
    (draft,) = [d for drafts in spec.proposals for d in drafts if isinstance(d.event, type_)]
    cause = spec.log.find(draft.causation_id)
    assert cause is not None
    assert draft.correlation_id == (cause.meta.correlation_id or cause.event_id)
    return cause


def serving(spec: Spec[State], **fields: object) -> str:
    """Let what was just requested be recorded and become ready; return its id."""
    wanted = spec.one(i.InstanceStartRequested)
    spec.when_recorded()
    where = {"instance_id": wanted.instance_id, "model_id": wanted.model_id}
    spec.given(b.started(**where, node_id=wanted.node_id, gpu=wanted.gpu_index, **fields))
    return str(wanted.instance_id)


def test_a_first_instance_comes_of_the_model_s_being_registered() -> None:
    spec = story(b.a_node(), [b.a_model()]).when_deciding()
    assert cause_of(spec, i.InstanceStartRequested).type == "model.registered"
    assert cause_of(spec, g.GpuAllocated).type == "model.registered"


def test_a_replacement_comes_of_the_death_also_while_messages_wait() -> None:
    spec = story(b.a_node(gpus=2), [b.a_model()]).when_deciding()
    instance_id = serving(spec)
    sample(spec, {"llama": 50})
    spec.given(b.died(instance_id)).when_deciding()
    death = cause_of(spec, g.GpuFreed)
    assert death.type == "instance.died"
    assert cause_of(spec, m.ModelFloorUnmet) == death  # it backs off first
    sample(spec.when_recorded(), {"llama": 50}, minutes=2).when_deciding()
    assert cause_of(spec, i.InstanceStartRequested) == death


def test_a_further_instance_comes_of_the_newest_sample() -> None:
    spec = story(b.a_node(gpus=2), [b.a_model(max_instances=2)]).when_deciding()
    serving(spec)
    sample(spec, {"llama": 90}).when_deciding()
    cause = cause_of(spec, i.InstanceStartRequested)
    assert cause == spec.log.events[-1]
    assert cause.type == "queue.sampled"


def test_a_replaced_instance_ends_for_the_queue_of_the_other_and_the_chain_goes_on() -> None:
    spec = story(b.a_node(), [b.a_model("idle")]).when_deciding()
    victim = serving(spec)
    spec.given(b.a_model("busy"))
    sample(spec, {"idle": 0, "busy": 90}).when_deciding()
    sampled = cause_of(spec, i.InstanceStopRequested)
    assert (sampled.type, sampled.data["model_id"]) == ("queue.sampled", "busy")
    spec.when_recorded().given(b.stopped(victim, "idle")).when_deciding()
    assert cause_of(spec, g.GpuAllocated).type == "instance.stopped"
    assert cause_of(spec, i.InstanceStartRequested).type == "instance.stopped"


def test_what_is_told_of_a_floor_comes_of_what_broke_and_what_mended_it() -> None:
    spec = story([b.a_model()]).when_deciding()
    assert cause_of(spec, m.ModelFloorUnmet).type == "model.registered"
    spec.when_recorded().given(*b.a_node()).when_deciding()
    serving(spec)
    spec.when_deciding()
    assert cause_of(spec, m.ModelFloorMet).type == "instance.started"


def test_an_instance_of_a_deleted_model_ends_by_the_deletion() -> None:
    spec = story(b.a_node(), [b.a_model()]).when_deciding()
    serving(spec)
    spec.given(m.ModelDeleted(model_id="llama")).when_deciding()
    assert cause_of(spec, i.InstanceStopRequested).type == "model.deleted"


def test_too_many_instances_end_by_the_change_of_the_maximum() -> None:
    spec = story(b.a_node(gpus=2), [b.a_model(min_instances=2, max_instances=2)]).when_deciding()
    serving(spec)
    spec.when_deciding()
    serving(spec)
    spec.given(b.model_updated(max_instances=1)).when_deciding()
    assert cause_of(spec, i.InstanceStopRequested).type == "model.updated"


def test_a_quarantine_comes_of_the_report_that_showed_it() -> None:
    spec = story(b.a_node(report=False))
    spec.given(b.a_report(foreign={0: 7}), b.a_report(foreign={0: 7})).when_deciding()
    assert cause_of(spec, g.GpuQuarantined) == spec.log.events[-1]
    spec.when_recorded().given(b.a_report()).when_deciding()
    assert cause_of(spec, g.GpuReleased) == spec.log.events[-1]
