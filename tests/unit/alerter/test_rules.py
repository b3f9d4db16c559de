"""What is worth an alert, rule by rule."""

import pytest

from contracts import alerts as known
from contracts.alerts import BadLimits, check_limits
from contracts.events import alert as a
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.types import Launch, QueueAddress, Reason
from services.alerter.decide import RULES, alerts
from services.alerter.policies import (
    agent_lost,
    fleet_silence,
    gpu_quarantined,
    instance_stuck,
    journal_lag,
    messages_parked,
    model_floor,
    node_offline,
    projector_lag,
    queue_growth,
    queue_unreachable,
)
from services.alerter.state import Lag, State, View
from tests.unit.story import Story


def a_node(node_id="node-1", name="gpu-01"):
    return n.NodeRegistered(node_id=node_id, environment_id="e", name=name, agent_url="http://a:1")


def offline(node_id="node-1", silent_s=12.0):
    return n.NodeWentOffline(node_id=node_id, silent_s=silent_s, error="no answer")


def online(node_id="node-1"):
    return n.NodeCameOnline(node_id=node_id, boot_id="b")


def a_model(model_id="m", name="llama"):
    return m.ModelRegistered(
        model_id=model_id,
        environment_id="e",
        name=name,
        queue=QueueAddress(host="h", name="q", username="u"),
        average_inference_time_s=1.0,
        launch=Launch(template="echo"),
    )


def unmet(instances=0, code="no_free_gpu"):
    return m.ModelFloorUnmet(model_id="m", instances=instances, floor=1, reason=Reason(code=code))


def unreachable(code="unauthorized"):
    return q.QueueUnreachable(model_id="m", code=code, detail="the broker refuses the password")


def a_length(length):
    return q.QueueSampled(model_id="m", length=length, ready=length, unacknowledged=0)


@pytest.fixture
def story():
    return Story(State()).told(a_node(), a_model())


def found(rule, story):
    return rule.conditions(View(story.state, story.now))


def test_a_node_that_went_offline_is_critical_and_named(story):
    condition = found(node_offline, story.told(offline()))[0]
    assert (condition.subject, condition.severity) == ("node-1", "critical")
    assert condition.summary == "node gpu-01 has not answered for 12 s"
    assert condition.position == 3


@pytest.mark.parametrize("end", [online(), n.NodeDeleted(node_id="node-1")])
def test_a_node_that_is_back_or_gone_is_no_alert(story, end):
    assert found(node_offline, story.told(offline(), end)) == []


def test_a_renamed_node_is_told_by_its_new_name(story):
    renamed = n.NodeUpdated(**{**a_node().model_dump(), "name": "gpu-99"})
    assert "gpu-99" in found(node_offline, story.told(offline(), renamed))[0].summary


@pytest.mark.parametrize(("instances", "severity"), [(0, "critical"), (1, "warning")])
def test_a_model_below_its_floor_is_an_alert_that_says_why(story, instances, severity):
    condition = found(model_floor, story.told(unmet(instances)))[0]
    assert condition.severity == severity
    assert condition.evidence["code"] == "no_free_gpu"


def test_another_reason_for_the_same_want_is_the_same_alert(story):
    story.told(unmet(code="no_free_gpu"), unmet(code="no_node_supports_it"))
    assert [(c.position, c.evidence["code"]) for c in found(model_floor, story)] == [
        (3, "no_node_supports_it")
    ]


@pytest.mark.parametrize(
    "end", [m.ModelFloorMet(model_id="m", instances=1, floor=1), m.ModelDeleted(model_id="m")]
)
def test_a_floor_that_is_met_or_wanted_no_more_is_no_alert(story, end):
    assert found(model_floor, story.told(unmet(), end)) == []


def test_a_queue_that_cannot_be_read_is_an_alert_that_says_why(story):
    condition = found(queue_unreachable, story.told(unreachable()))[0]
    assert condition.evidence["code"] == "unauthorized"
    assert "llama" in condition.summary


@pytest.mark.parametrize("end", [q.QueueRecovered(model_id="m"), m.ModelDeleted(model_id="m")])
def test_a_queue_that_is_read_again_is_no_alert(story, end):
    assert found(queue_unreachable, story.told(unreachable(), end)) == []


def test_a_fleet_that_fell_silent_at_once_is_critical_until_it_speaks(story):
    story.told(n.FleetSilenceSuspected(silent=5, nodes=8, window_s=30))
    assert found(fleet_silence, story)[0].severity == "critical"
    assert found(fleet_silence, story.told(n.FleetSilenceCleared(silent=0, nodes=8))) == []


def test_a_gpu_in_quarantine_is_an_alert_until_it_is_released(story):
    story.told(g.GpuQuarantined(gpu_uuid="G", node_id="node-1", because="will not die"))
    assert "will not die" in found(gpu_quarantined, story)[0].summary
    story.told(g.GpuReleased(gpu_uuid="G", node_id="node-1", because="rebooted"))
    assert found(gpu_quarantined, story) == []


STUCK = {"instance_id": "i", "model_id": "m", "node_id": "node-1", "gpu_uuid": "G"}


def start_requested():
    return i.InstanceStartRequested(
        **STUCK, model_name="llama", gpu_index=0, boot_id="b", launch=Launch(template="t"),
        reason=Reason(code="busy"),
    )  # fmt: skip


def stop_requested():
    return i.InstanceStopRequested(**STUCK, reason=Reason(code="above_max_instances"))


@pytest.mark.parametrize(
    ("begun", "within_s", "what", "arrived"),
    [
        (start_requested(), 3600, "is not ready", i.InstanceStarted(**STUCK, pid=1)),
        (
            start_requested(),
            3600,
            "is not ready",
            i.InstanceStartFailed(**STUCK, code="c", error="e"),
        ),
        (stop_requested(), 300, "has not ended", i.InstanceStopped(**STUCK)),
        (stop_requested(), 300, "has not ended", i.InstanceDied(**STUCK, because="rebooted")),
    ],
)
def test_an_instance_on_its_way_for_too_long_is_critical_until_it_is_there(
    story, begun, within_s, what, arrived
):
    story.told(begun).later(within_s - 1)
    assert found(instance_stuck, story) == []
    (condition,) = found(instance_stuck, story.later(1))
    assert (condition.subject, condition.severity) == ("i", "critical")
    assert f"instance i of llama on node gpu-01 {what}" in condition.summary
    assert "GPU G" in condition.summary
    assert found(instance_stuck, story.told(arrived)) == []


def test_a_start_that_is_to_end_after_all_has_time_to_end(story):
    story.told(start_requested()).later(3600).told(stop_requested())
    assert found(instance_stuck, story) == []
    assert found(instance_stuck, story.later(300))


def test_what_a_deleted_node_left_is_no_stuck_instance(story):
    story.told(stop_requested(), n.NodeDeleted(node_id="node-1")).later(900)
    assert found(instance_stuck, story) == []


def grown(story, before, recent):
    """A sample each minute: so long for half an hour, then so long for five minutes."""
    for length in [before] * 30 + [recent] * 5:
        story.later(60).told(a_length(length))
    return story


@pytest.mark.parametrize(
    ("before", "recent", "alerts"),
    [(10, 25, 1), (10, 20, 0), (2, 10, 0), (2, 11, 1), (0, 11, 1), (50, 40, 0)],
)
def test_growth_is_more_than_double_and_more_than_ten_messages(story, before, recent, alerts):
    assert len(found(queue_growth, grown(story, before, recent))) == alerts


def test_growth_says_its_numbers(story):
    condition = found(queue_growth, grown(story, 10, 25))[0]
    assert condition.evidence == {"model": "llama", "recent_mean": 25.0, "before_mean": 10.0}


def test_a_queue_known_for_less_than_the_recent_window_has_not_grown(story):
    for _ in range(4):
        story.later(60).told(a_length(500))
    assert found(queue_growth, story) == []


def test_a_queue_that_is_no_longer_sampled_stays_as_it_was(story):
    grown(story, 10, 25).recorded(alerts(View(story.state, story.now)))
    story.later(3000)
    assert [c.subject for c in found(queue_growth, story)] == ["m"]
    assert alerts(View(story.state, story.now)) == []


def test_a_queue_that_is_no_longer_sampled_and_was_well_stays_well(story):
    grown(story, 10, 10).later(3000)
    assert found(queue_growth, story) == []


def test_samples_of_an_unknown_model_are_not_kept(story):
    story.told(m.ModelDeleted(model_id="m"), a_length(5))
    assert story.state.samples == {}


def test_samples_are_kept_only_for_as_long_as_the_rule_looks_back():
    story = Story(State(keep_s=120)).told(a_model())
    for _ in range(10):
        story.later(60).told(a_length(1))
    assert len(story.state.samples["m"]) == 3


def allocated(gpu="G"):
    return g.GpuAllocated(gpu_uuid=gpu, node_id="node-1", instance_id="i", model_id="m")


def freed(gpu="G", because="died"):
    return g.GpuFreed(gpu_uuid=gpu, node_id="node-1", instance_id="i", because=because)


def test_an_agent_is_lost_when_it_is_unheard_for_long_and_instances_may_run_there(story):
    story.told(allocated("G"), allocated("H"), freed("H"), offline())
    assert found(agent_lost, story.later(299)) == []
    condition = found(agent_lost, story.later(1))[0]
    assert (condition.subject, condition.severity) == ("node-1", "critical")
    assert condition.evidence == {"node": "gpu-01", "lost_s": 300, "gpus": 1}


@pytest.mark.parametrize("end", [online(), freed(), n.NodeDeleted(node_id="node-1")])
def test_an_agent_that_is_heard_or_holds_nothing_is_not_lost(story, end):
    story.told(allocated(), offline()).later(300)
    story.recorded(alerts(View(story.state, story.now)))
    assert ("agent_lost", "node-1") in story.state.open
    assert found(agent_lost, story.told(end)) == []
    resolved = [draft for (draft,) in alerts(View(story.state, story.now))]
    assert [draft.event.rule for draft in resolved] == ["agent_lost"]
    assert resolved[0].causation_id == f"event-{story.position}"


def test_an_idle_node_that_is_offline_for_long_is_no_lost_agent(story):
    assert found(agent_lost, story.told(offline()).later(3000)) == []


def measured(rule, story, **said):
    lag = Lag(**{**WELL, **said})
    return rule.conditions(View(story.state, story.now, lag=lag))


WELL = {
    "head": 100,
    "published": 100,
    "published_behind_s": 0.0,
    "read_models_behind_s": 0.0,
    "parked": 0,
}


@pytest.mark.parametrize(
    ("rule", "well", "ill"),
    [
        (journal_lag, {"published_behind_s": 30.0}, {"published_behind_s": 30.1}),
        (projector_lag, {"read_models_behind_s": 30.0}, {"read_models_behind_s": 31.0}),
        (projector_lag, {"read_models_behind_s": None}, {"read_models_behind_s": 99.0}),
        (messages_parked, {"parked": 0}, {"parked": 1}),
    ],
)
def test_what_the_journal_says_is_an_alert_beyond_its_limit(story, rule, well, ill):
    assert measured(rule, story, **well) == []
    assert len(measured(rule, story, **ill)) == 1
    assert found(rule, story) == []


def test_a_limit_is_changed_while_it_runs(story):
    story.told(a.AlertRuleConfigured(rule="messages_parked", limits={"messages": 5}))
    assert measured(messages_parked, story, parked=5) == []
    assert "6 messages are parked" in measured(messages_parked, story, parked=6)[0].summary


def test_every_rule_is_described_and_every_description_has_its_rule():
    assert RULES.keys() == known.RULES.keys()
    for name, spec in known.RULES.items():
        assert check_limits(name, spec.defaults) == spec.defaults


def test_a_limit_that_does_not_fit_is_named():
    with pytest.raises(BadLimits) as error:
        check_limits("queue_growth", {"factor": 0.5, "height": 1})
    assert [field for field, _ in error.value.problems] == ["factor", "height"]
