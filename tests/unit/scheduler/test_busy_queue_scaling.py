"""S0.10, sentence by sentence."""

from contracts.events.gpu import GpuAllocated
from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.events.model import ModelDeferred, ModelFloorMet, ModelFloorUnmet
from tests import builders as b
from tests.unit.scheduler.stories import sample, story

NO_FLOOR = {"min_instances": 0}


def test_a_busy_model_gets_the_free_gpu() -> None:
    spec = story(b.a_model(**NO_FLOOR), b.a_node()).given(b.sampled(length=20))
    spec.when_deciding().then(GpuAllocated, InstanceStartRequested)
    start = spec.one(InstanceStartRequested, gpu_uuid=b.gpu_uuid("n1", 0))
    assert start.reason.code == "busy_without_instance"
    assert start.reason.numbers["wait_s"] == 40.0
    assert start.reason.strategy == "default"
    assert start.reason.position == spec.state.position
    assert start.reason.now == spec.log.now
    assert start.instance_id == f"i-1-{spec.state.position}-1"


def test_the_allocation_and_the_wish_are_one_proposal_with_expected_versions() -> None:
    spec = story(b.a_model(), b.a_node()).when_deciding()
    (drafts,) = spec.proposals
    assert [draft.expected_version for draft in drafts] == [0, 0]
    assert drafts[0].stream == f"gpu/{b.gpu_uuid('n1', 0)}"


def test_a_wait_at_the_threshold_is_not_busy() -> None:
    story(b.a_model(**NO_FLOOR), b.a_node()).given(
        b.sampled(length=15)
    ).when_deciding().then_nothing()


def test_the_threshold_is_the_strategys_parameter() -> None:
    low = b.a_strategy(parameters={"busy_threshold_s": 29.0})
    story(low, b.a_model(**NO_FLOOR), b.a_node(), b.sampled(length=15)).when_deciding().then(
        GpuAllocated, InstanceStartRequested
    )


def test_only_the_last_five_minutes_count() -> None:
    spec = story(b.a_model(**NO_FLOOR), b.a_node()).given(b.sampled(length=1000))
    sample(spec, {"llama": 1}, minutes=5).when_deciding().then_nothing()


def test_the_mean_of_the_window_counts_and_not_the_last_sample() -> None:
    spec = story(b.a_model(**NO_FLOOR), b.a_node()).given(b.sampled(length=60))
    sample(spec, {"llama": 0}, minutes=2)
    start = spec.when_deciding().one(InstanceStartRequested)
    assert start.reason.numbers["mean_length"] == 20.0
    assert start.reason.numbers["samples"] == 3


def test_samples_of_a_probe_count_like_all_others() -> None:
    spec = story(b.a_model(**NO_FLOOR), b.a_node())
    spec.given(b.sampled(length=20, source="probe")).when_deciding().one(InstanceStartRequested)


def test_an_empty_queue_is_never_busy_even_with_threshold_zero() -> None:
    zero = b.a_strategy(parameters={"busy_threshold_s": 0.0})
    story(
        zero, b.a_model(**NO_FLOOR), b.a_node(), b.sampled(length=0)
    ).when_deciding().then_nothing()


def test_the_most_requested_model_comes_first() -> None:
    spec = story(b.a_model("a", **NO_FLOOR), b.a_model("b", **NO_FLOOR), b.a_node())
    spec.given(b.sampled("a", 20), b.sampled("b", 21)).when_deciding()
    assert spec.one(InstanceStartRequested).model_id == "b"
    assert spec.one(ModelDeferred).model_id == "a"


def test_between_equals_the_model_id_decides() -> None:
    spec = story(b.a_model("b", **NO_FLOOR), b.a_model("a", **NO_FLOOR), b.a_node())
    spec.given(b.sampled("a", 20), b.sampled("b", 20)).when_deciding()
    assert spec.one(InstanceStartRequested).model_id == "a"


def test_a_weight_ranks_a_model_higher() -> None:
    strategy = b.a_strategy(parameters={"weight.a": 3.0})
    spec = story(strategy, b.a_model("a", **NO_FLOOR), b.a_model("b", **NO_FLOOR), b.a_node())
    spec.given(b.sampled("a", 20), b.sampled("b", 40)).when_deciding()
    assert spec.one(InstanceStartRequested).model_id == "a"


def test_a_model_with_an_instance_under_way_gets_no_second_one() -> None:
    instance = b.an_instance(ready=False)
    spec = story(b.a_model(max_instances=4), b.a_node(gpus=4), instance)
    spec.given(b.sampled(length=500)).when_deciding().then_nothing()


def test_only_nodes_that_support_the_model_are_tried() -> None:
    spec = story(b.a_model(), b.a_node("n1", supported=("other",)))
    unmet = spec.when_deciding().one(ModelFloorUnmet)
    assert unmet.reason.code == "no_node_supports"
    spec.given(b.a_node("n2", supported=("llama",))).when_deciding()
    assert spec.one(InstanceStartRequested).node_id == "n2"


def test_a_star_supports_every_model() -> None:
    story(b.a_model(), b.a_node(supported=("*",))).when_deciding().one(InstanceStartRequested)


def test_a_gpu_that_is_not_offered_is_not_used() -> None:
    spec = story(b.a_model(), b.a_node(gpus=2, available=(1,)))
    assert spec.when_deciding().one(InstanceStartRequested).gpu_index == 1
    spec = story(b.a_model(), b.a_node(gpus=2, available=()))
    assert spec.when_deciding().one(ModelFloorUnmet).reason.code == "no_gpu_offered"


def test_a_gpu_with_a_foreign_process_is_not_free() -> None:
    spec = story(b.a_model(), b.a_node(gpus=2)).given(b.a_report(gpus=2, foreign={0: 99}))
    assert spec.when_deciding().one(InstanceStartRequested).gpu_index == 1


def test_a_gpu_with_an_unknown_instance_is_not_free() -> None:
    spec = story(b.a_model(), b.a_node()).given(b.a_report(running={0: "i-unknown"}))
    unmet = spec.when_deciding().one(ModelFloorUnmet)
    assert unmet.reason.code == "no_free_gpu"
    assert unmet.reason.rejected == {"foreign_process": 1}


def test_an_exited_unknown_instance_takes_no_gpu() -> None:
    spec = story(b.a_model(), b.a_node())
    spec.given(b.a_report(running={0: "i-old"}, state="exited"))
    spec.when_deciding().one(InstanceStartRequested)


def test_a_gpu_nobody_reported_on_since_the_boot_is_not_free() -> None:
    spec = story(b.a_model(), b.a_node(report=False))
    assert spec.when_deciding().one(ModelFloorUnmet).reason.rejected == {"not_reported": 1}
    spec.given(b.a_report(boot_id="another")).when_deciding().then_no(InstanceStartRequested)
    spec.given(b.a_report()).when_deciding().one(InstanceStartRequested)


def test_no_free_gpu_replaces_the_instance_nobody_asked_for_five_minutes() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20})
    spec.when_deciding().then(InstanceStopRequested, ModelFloorUnmet, ModelFloorUnmet)
    stop = spec.one(InstanceStopRequested, instance_id="i-9", replaced_by="busy")
    assert stop.reason.code == "replaced"
    assert stop.reason.numbers["quiet_s"] == 300.0
    assert spec.one(ModelFloorUnmet, model_id="idle").reason.code == "replaced"
    assert spec.one(ModelFloorUnmet, model_id="busy").reason.code == "replacement_pending"


def test_four_minutes_without_a_request_are_not_enough() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}, minutes=5).when_deciding()
    spec.then_no(InstanceStopRequested)
    unmet = spec.one(ModelFloorUnmet, model_id="busy")
    assert unmet.reason.code == "no_free_gpu"
    (loser,) = unmet.reason.alternatives
    assert (loser.subject, loser.code) == ("instance/i-9", "not_idle")
    assert loser.numbers == {"quiet_s": 240.0, "idle_s": 300.0, "model_id": "idle"}
    assert unmet.reason.rejected == {"held": 1}


def test_a_request_seen_only_in_the_broker_counter_is_a_request() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    for minute in range(8):
        spec.after(60).given(
            b.sampled("idle", 0, published_total=100 + minute), b.sampled("busy", 20)
        )
    spec.when_deciding().then_no(InstanceStopRequested)
    for _ in range(5):
        spec.after(60).given(b.sampled("idle", 0, published_total=107), b.sampled("busy", 20))
    spec.when_deciding().one(InstanceStopRequested)


def test_a_request_is_seen_in_the_counter_though_a_look_that_knows_none_came_between() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    for total in (100, 100, 100, 100, None, 101, 101):
        spec.after(60).given(b.sampled("idle", 0, published_total=total), b.sampled("busy", 20))
    spec.when_deciding().then_no(InstanceStopRequested)


def test_missing_samples_are_not_idleness() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"busy": 20}).when_deciding().then_no(InstanceStopRequested)
    loser = spec.one(ModelFloorUnmet, model_id="busy").reason.alternatives[0]
    assert loser.code == "samples_missing"


def test_stale_samples_are_not_idleness() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}, minutes=10)
    sample(spec, {"busy": 20}, minutes=4).when_deciding().then_no(InstanceStopRequested)
    loser = spec.one(ModelFloorUnmet, model_id="busy").reason.alternatives[0]
    assert loser.code == "samples_stale"


def test_a_hole_in_the_samples_is_not_idleness() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}, minutes=10)
    sample(spec, {"busy": 20}, minutes=4)
    sample(spec, {"idle": 0, "busy": 20}, minutes=2)
    spec.when_deciding().then_no(InstanceStopRequested)


def test_an_unreachable_queue_is_not_idleness() -> None:
    unreachable = b.q.QueueUnreachable(model_id="idle", code="unreachable", detail="refused")
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}, minutes=10)
    spec.given(unreachable).when_deciding().then_no(InstanceStopRequested)
    loser = spec.one(ModelFloorUnmet, model_id="busy").reason.alternatives[0]
    assert loser.code == "queue_unreachable"
    spec.given(b.q.QueueRecovered(model_id="idle"))
    sample(spec, {"idle": 0, "busy": 20}, minutes=5).when_deciding()
    spec.then_no(InstanceStopRequested)
    sample(spec, {"idle": 0, "busy": 20}, minutes=1).when_deciding().one(InstanceStopRequested)


def test_a_pinned_instance_is_never_replaced() -> None:
    pinned = b.an_instance("i-9", "idle", pinned=True)
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), pinned)
    sample(spec, {"idle": 0, "busy": 20}).when_deciding().then_no(InstanceStopRequested)
    loser = spec.one(ModelFloorUnmet, model_id="busy").reason.alternatives[0]
    assert loser.code == "pinned"


def test_an_instance_on_a_node_that_cannot_serve_the_taker_is_not_replaced() -> None:
    node = b.a_node(supported=("idle",))
    other = b.a_node("n2", supported=("busy",))
    spec = story(b.a_model("idle"), b.a_model("busy"), node, other, b.an_instance("i-9", "idle"))
    spec.given(b.a_model("third"), b.an_instance("i-8", "third", node_id="n2"))
    sample(spec, {"idle": 0, "busy": 20, "third": 5}).when_deciding()
    spec.then_no(InstanceStopRequested)
    alternatives = spec.one(ModelFloorUnmet, model_id="busy").reason.alternatives
    assert [loser.subject for loser in alternatives] == ["instance/i-8"]


def test_a_model_that_is_not_busy_replaces_nobodys_last_instance() -> None:
    spec = story(b.a_model("idle"), b.a_model("quiet"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "quiet": 0}).when_deciding().then(ModelFloorUnmet)
    loser = spec.one(ModelFloorUnmet, model_id="quiet").reason.alternatives[0]
    assert (loser.code, loser.numbers["floor"]) == ("kept_by_its_floor", 1)


def test_the_longest_quiet_model_loses_first() -> None:
    models = (b.a_model("x"), b.a_model("y"), b.a_model("busy"), b.a_node(gpus=2))
    spec = story(*models, b.an_instance("i-1", "x"), b.an_instance("i-2", "y", gpu=1))
    sample(spec, {"x": 1, "y": 0, "busy": 20}, minutes=2)
    sample(spec, {"x": 0, "y": 0, "busy": 20}, minutes=6).when_deciding()
    assert spec.one(InstanceStopRequested).model_id == "y"


def test_an_instance_above_the_floor_is_replaced_before_any_last_one() -> None:
    models = (b.a_model("x"), b.a_model("y", max_instances=2), b.a_model("busy"), b.a_node(gpus=3))
    spec = story(*models, b.an_instance("i-1", "x"), b.an_instance("i-2", "y", gpu=1))
    spec.given(b.an_instance("i-3", "y", gpu=2))
    sample(spec, {"x": 0, "y": 1, "busy": 20}, minutes=1)
    sample(spec, {"x": 0, "y": 0, "busy": 20}, minutes=6).when_deciding()
    assert spec.one(InstanceStopRequested).instance_id == "i-3"


def test_a_floor_takes_an_idle_instance_above_anothers_floor() -> None:
    models = (b.a_model("y", max_instances=2), b.a_model("new"), b.a_node(gpus=2))
    spec = story(*models, b.an_instance("i-2", "y"), b.an_instance("i-3", "y", gpu=1))
    sample(spec, {"y": 0, "new": 0}).when_deciding()
    stop = spec.one(InstanceStopRequested, instance_id="i-3", replaced_by="new")
    assert stop.reason.numbers["because"] == "below_floor"


def test_the_freed_gpu_goes_to_the_taker_in_the_proposal_that_frees_it() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}).when_deciding().when_recorded()
    spec.when_deciding().then_nothing()
    spec.given(b.a_model("hot", **NO_FLOOR), b.sampled("hot", 900))
    spec.given(b.stopped("i-9", "idle")).when_deciding()
    freed, allocated, start = spec.proposals[0]
    assert (freed.expected_version, allocated.expected_version) == (1, 2)
    assert start.event.model_id == "busy"
    assert start.event.replaces == "i-9"
    assert start.event.reason.code == "replacement_ready"


def test_the_floor_of_the_replaced_model_is_unmet_until_a_gpu_is_free() -> None:
    spec = story(b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 20}).when_deciding().when_recorded()
    spec.given(b.stopped("i-9", "idle")).when_deciding().when_recorded()
    assert spec.one(ModelFloorUnmet, model_id="idle").reason.code == "no_free_gpu"
    start = spec.one(InstanceStartRequested)
    spec.given(b.started(start.instance_id, "busy")).when_deciding()
    assert spec.one(ModelFloorMet).model_id == "busy"
    spec.when_recorded().given(b.a_node("n2")).when_deciding()
    again = spec.one(InstanceStartRequested, model_id="idle", node_id="n2")
    spec.when_recorded()
    spec.given(b.started(again.instance_id, "idle", node_id="n2")).when_deciding()
    met = spec.one(ModelFloorMet)
    assert (met.model_id, met.instances, met.floor) == ("idle", 1, 1)


def test_every_model_gets_its_floor_on_whatever_node_is_online() -> None:
    spec = story(b.a_model("a"), b.a_model("b", min_instances=2, max_instances=2))
    spec.given(b.a_node("n1"), b.a_node("n2"), b.a_node("n3"), b.a_node("n4", online=False))
    spec.when_deciding().when_recorded()
    first = {start.model_id: start for start in spec.of(InstanceStartRequested)}
    assert set(first) == {"a", "b"}
    spec.when_deciding().then_nothing()  # one action at a time for each model
    spec.given(b.started(first["b"].instance_id, "b", node_id=first["b"].node_id))
    assert spec.when_deciding().one(InstanceStartRequested).model_id == "b"
    assert spec.one(InstanceStartRequested).reason.code == "below_floor"


def test_free_gpus_go_to_further_instances_of_the_busiest_model() -> None:
    models = (b.a_model("x", max_instances=3), b.a_model("y", max_instances=3), b.a_node(gpus=3))
    spec = story(*models, b.an_instance("i-1", "x"), b.an_instance("i-2", "y", gpu=1))
    spec.given(b.sampled("x", 40), b.sampled("y", 50)).when_deciding()
    start = spec.one(InstanceStartRequested)
    assert (start.model_id, start.reason.code) == ("y", "busy_scale_out")
    assert start.reason.numbers["wait_per_instance_s"] == 100.0
    assert spec.one(ModelDeferred).model_id == "x"


def test_scaling_out_looks_at_the_wait_per_instance() -> None:
    models = (b.a_model("x", max_instances=3), b.a_node(gpus=3))
    spec = story(*models, b.an_instance("i-1", "x"), b.an_instance("i-2", "x", gpu=1))
    spec.given(b.sampled("x", 30)).when_deciding().then_nothing()
    spec.given(b.sampled("x", 34)).when_deciding().one(InstanceStartRequested)


def test_scaling_out_stops_at_the_models_maximum() -> None:
    spec = story(b.a_model("x"), b.a_node(gpus=3), b.an_instance("i-1", "x"))
    spec.given(b.sampled("x", 40)).when_deciding().then(ModelDeferred)
    assert spec.one(ModelDeferred).reason.code == "at_max_instances"
    spec.when_recorded().when_deciding().then_nothing()


def test_scaling_out_can_be_switched_off() -> None:
    off = b.a_strategy(parameters={"scale_out": False})
    spec = story(off, b.a_model("x", max_instances=2), b.a_node(gpus=2), b.an_instance("i-1", "x"))
    spec.given(b.sampled("x", 40)).when_deciding().then_nothing()


def test_scaling_out_never_takes_the_gpu_a_floor_still_needs() -> None:
    spec = story(b.a_model("x", max_instances=3), b.a_model("broken"), b.a_node(gpus=2))
    spec.given(b.an_instance("i-1", "x"), b.an_instance("i-2", "broken", gpu=1, ready=False))
    spec.given(b.start_failed("i-2", "broken", gpu=1), b.sampled("x", 400))
    spec.when_deciding().then_no(InstanceStartRequested)
    assert spec.one(ModelFloorUnmet).reason.code == "backing_off"
    assert spec.one(ModelDeferred).model_id == "x"


def test_a_scale_out_replaces_nobody() -> None:
    models = (b.a_model("x", max_instances=2), b.a_model("idle"), b.a_node(gpus=2))
    spec = story(*models, b.an_instance("i-1", "x"), b.an_instance("i-2", "idle", gpu=1))
    sample(spec, {"x": 400, "idle": 0}).when_deciding().then(ModelDeferred)
    assert spec.one(ModelDeferred).reason.code == "no_free_gpu"


def test_one_replacement_at_a_time_for_a_taker_and_for_a_loser() -> None:
    models = (b.a_model("idle", max_instances=2), b.a_node(gpus=2))
    spec = story(*models, b.an_instance("i-1", "idle"), b.an_instance("i-2", "idle", gpu=1))
    spec.given(b.a_model("b1"), b.a_model("b2"))
    sample(spec, {"idle": 0, "b1": 20, "b2": 30}).when_deciding()
    assert spec.one(InstanceStopRequested).replaced_by == "b2"
    assert spec.one(ModelFloorUnmet, model_id="b1").reason.alternatives[0].code == "in_flight"
    spec.when_recorded().when_deciding().then_no(InstanceStopRequested)


def test_nobody_is_replaced_while_a_free_gpu_will_do() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node(gpus=2))
    spec = story(*models, b.an_instance("i-1", "idle"))
    sample(spec, {"idle": 0, "busy": 20}).when_deciding()
    spec.then_no(InstanceStopRequested)
    assert spec.one(InstanceStartRequested).model_id == "busy"


def test_a_deferral_that_is_over_is_said_once() -> None:
    spec = story(b.a_model("x"), b.a_node(), b.an_instance("i-1", "x")).given(b.sampled("x", 40))
    spec.when_deciding().when_recorded()
    sample(spec, {"x": 0}).when_deciding().then(ModelDeferred)
    assert spec.one(ModelDeferred).reason.code == "no_longer_wanted"
    spec.when_recorded().when_deciding().then_nothing()


def test_a_start_names_the_places_that_lost() -> None:
    spec = story(b.a_model(), b.a_node("n1"), b.a_node("n2", gpus=2, supported=("llama",)))
    start = spec.when_deciding().one(InstanceStartRequested)
    assert start.node_id == "n2"  # most free GPUs first
    (loser,) = start.reason.alternatives
    assert (loser.subject, loser.code) == ("node/n1", "ranked_lower")
    assert start.reason.rejected == {"taken_before": 3}


def test_a_further_instance_prefers_a_node_without_one() -> None:
    spec = story(b.a_model(max_instances=2), b.a_node("n1", gpus=4), b.a_node("n2"))
    spec.given(b.an_instance(), b.sampled(length=100)).when_deciding()
    start = spec.one(InstanceStartRequested)
    assert start.node_id == "n2"
