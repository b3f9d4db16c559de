"""What goes beyond placing: retiring, silence, backing off, strategies in order, full passes."""

import pytest

from contracts.events.gpu import GpuFreed
from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.events.model import ModelDeferred, ModelDeleted, ModelFloorMet, ModelFloorUnmet
from contracts.events.node import NodeDeleted
from contracts.events.strategy import (
    StrategyActivated,
    StrategyConfigured,
    StrategyDeactivated,
    StrategyDeleted,
)
from contracts.policies import BadParameters, validate_parameters
from tests import builders as b
from tests.unit.scheduler.stories import sample, story

# Retiring


def test_the_instances_of_a_deleted_model_are_stopped_pinned_ones_too() -> None:
    spec = story(b.a_model(max_instances=2), b.a_node(gpus=2), b.an_instance("i-1", pinned=True))
    spec.given(b.an_instance("i-2", gpu=1, ready=False), ModelDeleted(model_id="llama"))
    spec.when_deciding().then(InstanceStopRequested, InstanceStopRequested)
    assert spec.events[0].reason.code == "model_deleted"
    spec.when_recorded().when_deciding().then_nothing()
    spec.given(b.stopped("i-1"), b.died("i-2", gpu=1)).when_deciding().then(GpuFreed, GpuFreed)
    spec.when_recorded()
    assert not spec.state.instances


def test_an_instance_already_stopping_is_not_stopped_again() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(), b.stop_requested())
    spec.given(ModelDeleted(model_id="llama"), NodeDeleted(node_id="n1"))
    spec.when_deciding().then_nothing()


def test_what_was_asked_to_stop_by_hand_is_not_stopped_twice() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(), b.stop_asked())
    spec.given(ModelDeleted(model_id="llama")).when_deciding().then(InstanceStopRequested)


def test_the_instances_of_a_deleted_node_are_stopped_and_replaced_elsewhere() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(), NodeDeleted(node_id="n1"))
    spec.given(b.a_node("n2")).when_deciding()
    assert spec.one(InstanceStopRequested).reason.code == "node_deleted"
    assert spec.one(InstanceStartRequested).node_id == "n2"


def test_a_start_recorded_after_its_model_or_node_was_deleted_is_stopped() -> None:
    spec = story(b.a_node(), b.an_instance("i-1", "none", ready=False)).when_deciding()
    assert spec.one(InstanceStopRequested).reason.code == "model_deleted"
    spec = story(b.a_model(), b.a_node(), NodeDeleted(node_id="n1"), b.an_instance(ready=False))
    spec.when_deciding()
    assert spec.one(InstanceStopRequested).reason.code == "node_deleted"
    assert spec.one(ModelFloorUnmet).reason.code == "no_gpu"


def test_a_model_registered_again_does_not_count_its_former_instances() -> None:
    spec = story(b.a_model(), b.a_node(gpus=2), b.an_instance(), ModelDeleted(model_id="llama"))
    spec.given(b.a_model()).when_deciding()
    assert spec.one(InstanceStopRequested).instance_id == "i-1"
    spec.one(InstanceStartRequested)
    spec.when_recorded().given(b.stopped()).when_deciding().then(GpuFreed)


def test_a_node_registered_again_serves_again() -> None:
    spec = story(b.a_model(), b.a_node(), NodeDeleted(node_id="n1"), b.online())
    spec.when_deciding().then_no(InstanceStartRequested)
    spec.given(b.a_node()).when_deciding().one(InstanceStartRequested)


def test_above_the_maximum_the_newest_unpinned_instance_goes_one_at_a_time() -> None:
    spec = story(b.a_model(max_instances=3), b.a_node(gpus=3), b.an_instance("i-1"))
    spec.given(b.an_instance("i-2", gpu=1), b.an_instance("i-3", gpu=2, pinned=True))
    spec.given(b.model_updated(max_instances=1)).when_deciding().then(InstanceStopRequested)
    assert spec.one(InstanceStopRequested).instance_id == "i-2"
    assert spec.one(InstanceStopRequested).reason.code == "above_max_instances"
    spec.when_recorded().when_deciding().then_nothing()


# Nodes that do not answer


def test_an_instance_on_an_offline_node_is_replaced_elsewhere_and_its_gpu_stays_held() -> None:
    spec = story(b.a_model(), b.a_node(), b.a_node("n2"), b.an_instance(), b.offline())
    start = spec.when_deciding().one(InstanceStartRequested)
    assert (start.node_id, start.reason.code) == ("n2", "instance_unreachable")
    spec.then_no(GpuFreed)
    spec.when_recorded().given(b.started(start.instance_id, node_id="n2"), b.online())
    spec.given(b.a_report(running={0: "i-1"})).when_deciding()
    assert spec.one(InstanceStopRequested).reason.code == "above_max_instances"


def test_a_model_with_an_instance_out_of_reach_replaces_nobody() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node(), b.a_node("n2"))
    spec = story(*models, b.an_instance("i-1", "idle"))
    spec.given(b.an_instance("i-2", "busy", node_id="n2"), b.offline("n2"))
    sample(spec, {"idle": 0, "busy": 20}).when_deciding().then(ModelFloorUnmet)
    assert spec.one(ModelFloorUnmet).reason.code == "instance_unreachable"


def test_a_model_whose_instance_went_with_a_deleted_node_may_replace_another() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node(), b.a_node("n2"))
    spec = story(*models, b.an_instance("i-1", "idle"))
    spec.given(b.an_instance("i-2", "busy", node_id="n2"), b.offline("n2"))
    spec.given(NodeDeleted(node_id="n2")).when_deciding()
    assert spec.one(InstanceStopRequested).reason.code == "node_deleted"
    spec.when_recorded()
    sample(spec, {"idle": 0, "busy": 20}).when_deciding()
    assert spec.one(InstanceStopRequested).instance_id == "i-1"
    assert spec.one(InstanceStopRequested).reason.code == "replaced"


def test_a_suspected_silence_evicts_nothing() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node())
    spec = story(*models, b.an_instance("i-1", "idle"))
    sample(spec, {"idle": 0, "busy": 20}).given(b.silence_suspected()).after(1)
    spec.given(b.a_report(running={0: "i-1"})).when_deciding().then_no(InstanceStopRequested)
    loser = spec.one(ModelFloorUnmet).reason.alternatives[0]
    assert loser.code == "fleet_silence_suspected"
    spec.when_recorded().given(b.silence_cleared()).when_deciding().one(InstanceStopRequested)


def test_while_silence_is_suspected_only_answering_nodes_start_anything() -> None:
    spec = story(b.a_model(), b.a_node(), b.silence_suspected()).after(1)
    spec.when_deciding().then(ModelFloorUnmet)
    assert spec.one(ModelFloorUnmet).reason.code == "fleet_silence_suspected"
    spec.given(b.a_report()).when_deciding().one(InstanceStartRequested)


# Failures


def test_a_failed_start_is_tried_elsewhere_first_and_at_once() -> None:
    spec = story(b.a_model(), b.a_node(), b.a_node("n2"), b.an_instance(ready=False))
    spec.given(b.start_failed()).when_deciding()
    assert spec.one(InstanceStartRequested).node_id == "n2"


def test_failures_wait_twice_as_long_each_time_up_to_five_minutes() -> None:
    spec = story(b.a_model(), b.a_node())
    waits = []
    for attempt in range(8):
        spec.given(b.an_instance(f"i-{attempt}", ready=False), b.start_failed(f"i-{attempt}"))
        spec.when_deciding().when_recorded()
        waited = 0
        while not spec.of(InstanceStartRequested):
            waited += 5
            spec.after(5).when_deciding()
        waits.append(waited)
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_model_that_fails_everywhere_stops_trying_everywhere() -> None:
    spec = story(b.a_model(), *(b.a_node(f"n{k}") for k in range(5)))
    for k in range(3):
        node = f"n{k}"
        spec.given(b.an_instance(f"i-{k}", node_id=node, ready=False))
        spec.given(b.start_failed(f"i-{k}", node_id=node))
    unmet = spec.when_deciding().one(ModelFloorUnmet)
    assert unmet.reason.code == "backing_off"
    assert unmet.reason.numbers["failures"] == 3
    assert unmet.reason.numbers["retry_in_s"] == 20.0
    assert unmet.reason.numbers["error"] == "exited"


def test_an_instance_that_dies_young_counts_as_a_failure_an_old_one_clears_them() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(), b.died())
    assert spec.when_deciding().one(ModelFloorUnmet).reason.code == "backing_off"
    spec.when_recorded().given(b.an_instance("i-2")).after(301).given(b.died("i-2"))
    spec.when_deciding().when_recorded()
    assert spec.state.models["llama"].failures is not None
    assert spec.state.models["llama"].failures.count == 1


def test_failures_of_an_hour_ago_are_forgotten() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(ready=False), b.start_failed())
    spec.after(3601).given(b.an_instance("i-2", ready=False), b.start_failed("i-2"))
    assert spec.state.models["llama"].failures is not None
    assert spec.state.models["llama"].failures.count == 1


def test_a_start_that_has_come_to_something_since_ends_a_row_of_failures() -> None:
    spec = story(b.a_model(max_instances=3), b.a_node(gpus=3))
    spec.given(b.an_instance(ready=False), b.start_failed())
    spec.after(1).given(b.an_instance("i-2", gpu=1))
    spec.after(301).given(b.an_instance("i-3", ready=False), b.start_failed("i-3"))
    assert spec.state.models["llama"].failures is not None
    assert spec.state.models["llama"].failures.count == 1


def test_a_changed_model_is_tried_at_once() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(ready=False), b.start_failed())
    spec.when_deciding().then_no(InstanceStartRequested)
    spec.given(b.model_updated()).when_deciding().one(InstanceStartRequested)


def test_a_model_that_failed_evicts_nobody_until_long_after() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node())
    spec = story(*models, b.an_instance("i-9", "idle"))
    sample(spec, {"idle": 0, "busy": 90})
    spec.given(b.an_instance("i-1", "busy", node_id="n2", ready=False))
    spec.given(b.start_failed("i-1", "busy", node_id="n2")).when_deciding()
    assert spec.one(ModelFloorUnmet, model_id="busy").reason.code == "start_failing"
    sample(spec, {"idle": 0, "busy": 90}, minutes=2).when_deciding().one(InstanceStopRequested)


def test_a_stop_we_wanted_is_no_failure() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(ready=False), b.stop_requested())
    spec.given(b.start_failed()).when_deciding().one(InstanceStartRequested)


# Strategies


def test_without_any_stored_strategy_the_default_decides() -> None:
    start = story(b.a_model(), b.a_node()).when_deciding().one(InstanceStartRequested)
    assert start.reason.strategy == "default"


def test_without_an_active_strategy_nothing_is_placed_and_the_floor_says_so() -> None:
    spec = story(b.a_strategy(active=False), b.a_model(), b.a_node())
    spec.when_deciding().then(ModelFloorUnmet)
    assert spec.one(ModelFloorUnmet).reason.code == "no_active_strategy"
    spec.given(StrategyActivated(strategy_id="s1")).when_deciding().one(InstanceStartRequested)
    spec.given(StrategyDeactivated(strategy_id="s1")).when_deciding()
    spec.then_no(InstanceStartRequested)


def test_a_deleted_strategy_does_not_bring_the_default_back() -> None:
    spec = story(b.a_strategy(), StrategyDeleted(strategy_id="s1"), b.a_model(), b.a_node())
    spec.given(StrategyConfigured(strategy_id="s1"), StrategyActivated(strategy_id="s1"))
    spec.when_deciding().then_no(InstanceStartRequested)


def test_a_strategy_is_configured_live() -> None:
    spec = story(b.a_strategy(), b.a_model(min_instances=0), b.a_node(), b.sampled(length=10))
    spec.when_deciding().then_nothing()
    spec.given(StrategyConfigured(strategy_id="s1", parameters={"busy_threshold_s": 10.0}))
    spec.when_deciding().one(InstanceStartRequested)


def test_strategies_apply_in_stored_order_each_on_what_is_left() -> None:
    first = b.a_strategy("s2", order=1, parameters={"busy_threshold_s": 10.0})
    second = b.a_strategy("s1", order=2)
    spec = story(second, first, b.a_model("x"), b.a_model("y"), b.a_node(gpus=2))
    spec.given(b.sampled("x", 100)).when_deciding()
    strategies = {each.model_id: each.reason.strategy for each in spec.of(InstanceStartRequested)}
    assert strategies == {"x": "s2", "y": "s2"}


def test_a_strategy_that_cannot_be_obeyed_is_passed_over_and_the_floor_says_so() -> None:
    bad = b.a_strategy(parameters={"idle_s": -1})
    spec = story(bad, b.a_model(), b.a_node())
    assert spec.when_deciding().one(ModelFloorUnmet).reason.code == "strategy_unusable"
    assert "idle_s" in str(spec.state.strategies["s1"].problem)


@pytest.mark.parametrize(
    ("policy", "parameters", "field"),
    [
        ("busy_queue_scaling", {"window_s": "soon"}, "window_s"),
        ("busy_queue_scaling", {"window": 3}, "window"),
        ("busy_queue_scaling", {"weight.llama": -1}, "weights.llama"),
        ("none_such", {}, "policy"),
    ],
)
def test_a_bad_parameter_is_named(policy: str, parameters: dict[str, object], field: str) -> None:
    with pytest.raises(BadParameters) as raised:
        validate_parameters(policy, parameters)
    assert raised.value.problems[0][0] == field
    assert str(raised.value).startswith(field)


# Facts are told when they change


def test_an_unmet_floor_is_told_once_and_again_when_the_reason_changes() -> None:
    spec = story(b.a_model()).when_deciding().then(ModelFloorUnmet)
    spec.when_recorded().after(60).when_deciding().then_nothing()
    spec.given(b.a_node(online=False), b.an_inventory()).when_deciding()
    unmet = spec.one(ModelFloorUnmet)
    assert unmet.reason.code == "no_node_online"
    assert spec.proposals[0][0].expected_version == 1
    assert spec.proposals[0][0].stream == "model-floor/llama"


def test_a_floor_lowered_to_nothing_is_met() -> None:
    spec = story(b.a_model()).when_deciding().when_recorded()
    spec.given(b.model_updated(min_instances=0)).when_deciding().then(ModelFloorMet)


def test_facts_about_models_that_are_gone_change_nothing() -> None:
    spec = story(b.a_model(), b.a_node(gpus=0)).given(b.sampled(length=9)).when_deciding()
    spec.given(ModelDeleted(model_id="llama")).when_recorded()
    spec.given(ModelDeferred(model_id="llama", reason=b.a_reason()))
    spec.given(b.m.ModelFloorMet(model_id="llama", instances=1, floor=1), b.sampled())
    spec.given(b.q.QueueUnreachable(model_id="llama", code="not_found", detail=""))
    spec.given(b.q.QueueRecovered(model_id="llama"), ModelDeleted(model_id="llama"))
    spec.when_deciding().then_nothing()
    spec.given(b.a_model()).when_deciding().then(ModelFloorUnmet)
    assert spec.proposals[0][0].expected_version == 3


def test_a_queue_that_moved_starts_its_history_anew() -> None:
    spec = story(b.a_model(min_instances=0), b.a_node(), b.sampled(length=100))
    spec.given(b.model_updated(min_instances=0, queue=b.a_queue("new"))).when_deciding()
    spec.then_nothing()


def test_a_pass_is_bounded_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.state.plan.MAX_STARTS", 2)
    monkeypatch.setattr("services.scheduler.decide.facts.MAX_FACTS", 1)
    models = [b.a_model(f"m{k}") for k in range(5)]
    spec = story(*models, b.a_node(gpus=3)).when_deciding()
    assert len(spec.of(InstanceStartRequested)) == 2
    spec.then_no(ModelFloorUnmet).when_recorded().when_deciding()
    assert len(spec.of(InstanceStartRequested)) == 1
    assert len(spec.of(ModelFloorUnmet)) == 1
    spec.when_recorded().when_deciding().then(ModelFloorUnmet)
    spec.when_recorded().when_deciding().then_nothing()


def test_deferrals_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.decide.facts.MAX_FACTS", 1)
    spec = story(b.a_model("x"), b.a_model("y"), b.a_node(gpus=2))
    spec.given(b.an_instance("i-1", "x"), b.an_instance("i-2", "y", gpu=1))
    spec.given(b.sampled("x", 90), b.sampled("y", 90)).when_deciding().then(ModelDeferred)
    spec.when_recorded().when_deciding().then(ModelDeferred)
    spec.when_recorded().when_deciding().then_nothing()


# What is looked at is bounded, and nothing is counted twice


def test_a_node_that_supports_a_model_by_name_and_by_star_counts_once() -> None:
    spec = story(b.a_model(), b.a_node(gpus=2, supported=("*", "llama")))
    start = spec.when_deciding().one(InstanceStartRequested)
    assert start.reason.alternatives == ()
    assert start.reason.rejected == {"taken_before": 2}


def test_of_many_pools_only_so_many_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.state.room.LOOK_AHEAD", 2)
    nodes = [b.a_node(f"n{k}", gpus=k + 1, supported=("llama", f"m{k}")) for k in range(3)]
    start = story(b.a_model(), *nodes).when_deciding().one(InstanceStartRequested)
    assert start.node_id == "n1"


def test_of_many_instances_only_so_many_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.state.victims.LOOK_AT", 2)
    spec = story(*(b.a_model(f"m{k}") for k in range(4)), b.a_node(gpus=3))
    spec.given(*(b.an_instance(f"i-{k}", f"m{k}", gpu=k) for k in range(3)))
    assert len(spec.when_deciding().one(ModelFloorUnmet).reason.alternatives) == 2


def test_an_instance_whose_gpu_would_not_be_usable_is_not_replaced() -> None:
    models = (b.a_model("idle"), b.a_model("busy"), b.a_node(), b.an_instance("i-9", "idle"))
    spec = sample(story(*models), {"idle": 0, "busy": 20})
    spec.given(b.a_report(running={0: "i-9"}, foreign={0: 4})).when_deciding()
    loser = spec.then_no(InstanceStopRequested).one(ModelFloorUnmet).reason.alternatives[0]
    assert (loser.code, loser.numbers["cause"]) == ("gpu_unusable", "foreign_process")


def test_a_failure_of_a_model_that_is_gone_is_nobodys() -> None:
    spec = story(b.a_model(), b.a_node(), b.an_instance(ready=False))
    spec.given(ModelDeleted(model_id="llama"), b.start_failed()).when_deciding().then(GpuFreed)
