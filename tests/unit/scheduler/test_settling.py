"""GPUs are freed by confirmed deaths alone, and what is unknown on them is quarantined."""

import pytest

from contracts.events.gpu import GpuAllocated, GpuFreed, GpuQuarantined, GpuReleased
from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.events.model import ModelFloorUnmet
from tests import builders as b
from tests.unit.scheduler.stories import sample, story

NO_FLOOR = {"min_instances": 0}
RUNNING = (b.a_model(**NO_FLOOR), b.a_node(), b.an_instance())


@pytest.mark.parametrize(
    ("end", "because"),
    [
        (b.stopped(), "stopped"),
        (b.start_failed(), "start_failed"),
        (b.died(because="exited"), "died"),
        (b.died(because="lost"), "died"),
        (b.died(because="rebooted"), "rebooted"),
        (b.died(because="lease_ended"), "lease_ended"),
    ],
)
def test_a_confirmed_death_frees_the_gpu(end: b.Event, because: str) -> None:
    spec = story(*RUNNING, end).when_deciding().then(GpuFreed)
    assert spec.one(GpuFreed).because == because
    assert spec.proposals[0][0].expected_version == 1
    assert spec.proposals[0][0].causation_id == spec.log.events[-1].event_id
    spec.when_recorded().when_deciding().then_nothing()


def test_time_alone_frees_nothing() -> None:
    spec = story(*RUNNING, b.stop_requested()).after(86_400)
    spec.when_deciding().then_nothing()


def test_an_end_said_twice_frees_once() -> None:
    spec = story(*RUNNING, b.stopped(), b.stopped(), b.died(), b.start_failed())
    spec.when_deciding().then(GpuFreed)


def test_a_freed_gpu_is_given_away_in_the_same_pass() -> None:
    spec = story(b.a_model("a"), b.a_model("b"), b.a_node(), b.an_instance("i-1", "a"))
    spec.given(b.sampled("b", 50)).given(b.died("i-1", "a", because="lost")).when_deciding()
    assert [type(draft.event) for draft in spec.proposals[0]] == [GpuFreed]
    allocated, start = spec.proposals[1]
    assert (allocated.expected_version, start.event.model_id) == (2, "b")
    spec.when_recorded()
    assert spec.state.gpus[b.gpu_uuid("n1", 0)].version == 3


def test_a_gpu_freed_on_a_node_that_is_offline_waits_for_the_node() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(), b.offline(), b.died())
    spec.when_deciding().then(GpuFreed, ModelFloorUnmet)
    assert spec.one(ModelFloorUnmet).reason.code == "no_node_online"
    spec.when_recorded().given(b.online(), b.a_report()).after(60).when_deciding()
    spec.one(InstanceStartRequested)


def test_a_taker_that_is_gone_leaves_the_gpu_to_others() -> None:
    spec = story(b.a_model("x"), b.a_model("y"), b.a_node(), b.an_instance("i-1", "x"))
    spec.given(b.stop_requested("i-1", "x", replaced_by="gone"), b.stopped("i-1", "x"))
    spec.when_deciding().then(GpuFreed, GpuAllocated, InstanceStartRequested, ModelFloorUnmet)


def test_a_taker_that_has_its_instance_elsewhere_leaves_the_gpu_to_others() -> None:
    spec = story(b.a_model("x"), b.a_model("y"), b.a_node(), b.a_node("n2"))
    spec.given(b.an_instance("i-1", "x"), b.stop_requested("i-1", "x", replaced_by="y"))
    spec.given(b.an_instance("i-2", "y", node_id="n2"), b.stopped("i-1", "x"))
    spec.when_deciding()
    assert spec.one(InstanceStartRequested).model_id == "x"


def test_a_foreign_process_seen_twice_is_quarantined_and_released_when_gone() -> None:
    foreign = b.a_report(foreign={0: 99})
    spec = story(b.a_node(), foreign).when_deciding().then_nothing()
    spec.given(foreign).when_deciding().then(GpuQuarantined)
    assert spec.one(GpuQuarantined).because == "its node reports process 99 on it"
    spec.when_recorded().given(b.a_model()).when_deciding().then(ModelFloorUnmet)
    assert spec.one(ModelFloorUnmet).reason.rejected == {"quarantined": 1}
    spec.when_recorded().given(b.a_report()).when_deciding().then(GpuReleased)
    spec.when_recorded().when_deciding().one(InstanceStartRequested)


def test_what_our_own_instance_shows_is_not_foreign() -> None:
    report = b.a_report(running={0: "i-1"})
    story(*RUNNING, report, report, report).when_deciding().then_nothing()


def test_a_gpu_that_we_hold_is_not_quarantined() -> None:
    report = b.a_report(running={0: "i-1"}, foreign={0: 99})
    story(*RUNNING, report, report, report).when_deciding().then_nothing()


def test_a_report_of_an_unknown_node_or_gpu_changes_nothing() -> None:
    spec = story(b.a_node()).given(b.a_report("n9"), b.a_report(gpus=3))
    assert "n9" not in spec.state.nodes
    spec.when_deciding().then_nothing()


def test_only_reports_that_say_something_new_wake_the_scheduler() -> None:
    spec = story(b.a_node())
    before = spec.state.changes
    spec.given(b.a_report(), b.a_report("n9"))
    assert spec.state.changes == before
    spec.given(b.a_report(foreign={0: 1}))
    assert spec.state.changes == before + 1


def test_a_gpu_that_moved_belongs_to_the_node_that_named_it_last() -> None:
    moved = b.n.NodeInventoryChanged(
        node_id="n2", boot_id=b.BOOT, gpus=(b.a_gpu("n1", 0),), supported_models=("*",)
    )
    spec = story(b.a_model(), b.a_node(), b.a_node("n2", gpus=0), moved)
    spec.given(b.a_registered_node("n2"))
    spec.given(b.n.NodeReported(node_id="n2", boot_id=b.BOOT, gpus=(b.a_gpu("n1", 0),)))
    assert spec.when_deciding().one(InstanceStartRequested).node_id == "n2"


def test_renumbered_gpus_keep_their_allocations_by_uuid() -> None:
    spec = story(b.a_model("x"), b.a_model("y"), b.a_node(gpus=2), b.an_instance("i-1", "x"))
    swapped = b.n.NodeInventoryChanged(
        node_id="n1",
        boot_id="boot-2",
        gpus=tuple(
            b.GpuUse(uuid=b.gpu_uuid("n1", was), index=index) for index, was in ((0, 1), (1, 0))
        ),
        supported_models=("*",),
    )
    seen = b.n.NodeReported(node_id="n1", boot_id="boot-2", gpus=swapped.gpus)
    spec.given(swapped, seen).when_deciding()
    start = spec.one(InstanceStartRequested)
    assert (start.gpu_uuid, start.gpu_index, start.boot_id) == (b.gpu_uuid("n1", 1), 0, "boot-2")


def test_a_gpu_that_vanished_is_not_used_and_keeps_its_version() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(), b.an_inventory(gpus=0))
    spec.given(b.died(because="lost")).when_deciding().when_recorded()
    assert spec.one(ModelFloorUnmet).reason.code == "no_gpu"
    spec.given(b.an_inventory(), b.a_report()).when_deciding().one(InstanceStartRequested)
    assert spec.proposals[0][0].expected_version == 2


def test_the_end_of_an_instance_nobody_knows_changes_nothing() -> None:
    spec = story(b.a_model(**NO_FLOOR), b.a_node())
    spec.given(b.stopped("i-7"), b.died("i-7"), b.start_failed("i-7"), b.started("i-7"))
    spec.given(b.stop_asked("i-7"), b.stop_requested("i-7"), b.freed("i-7"))
    spec.when_deciding().then_nothing()


def test_an_instance_that_never_held_its_gpu_frees_nothing() -> None:
    spec = story(b.a_model(**NO_FLOOR), b.a_node(), b.an_instance()[1:], b.stopped())
    spec.when_deciding().then_nothing()


def test_a_stuck_stop_no_longer_holds_its_model_back() -> None:
    spec = story(b.a_model(), b.a_node(gpus=2), b.an_instance(), b.stop_requested())
    spec.when_deciding().then(ModelFloorUnmet)
    assert spec.one(ModelFloorUnmet).reason.code == "stopping"
    sample(spec.when_recorded(), {"llama": 0}, minutes=11).when_deciding()
    spec.one(InstanceStartRequested)


def test_a_taker_waits_for_a_stuck_stop_only_so_long() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node())
    spec = story(*models, b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}).when_deciding().when_recorded()
    spec.given(b.a_node("n2")).when_deciding().then_no(InstanceStartRequested)
    sample(spec, {"idle": 0, "busy": 20}, minutes=11).when_deciding()
    assert {start.model_id for start in spec.of(InstanceStartRequested)} == {"busy"}
    spec.then_no(InstanceStopRequested)
