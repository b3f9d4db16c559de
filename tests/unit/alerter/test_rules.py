"""What is worth an alert, rule by rule."""

import pytest

from contracts.events import gpu as g
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.types import Launch, QueueAddress, Reason
from services.alerter.policies import (
    fleet_silence,
    gpu_quarantined,
    model_floor,
    node_offline,
    queue_growth,
    queue_unreachable,
)
from services.alerter.state import Limits, State
from tests.unit.story import Story

LIMITS = Limits()


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
    return rule.conditions(story.state, story.now, LIMITS)


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
    from services.alerter.decide import alerts

    grown(story, 10, 25).recorded(alerts(story.state, story.now, LIMITS))
    story.later(3000)
    assert [c.subject for c in found(queue_growth, story)] == ["m"]
    assert alerts(story.state, story.now, LIMITS) == []


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
