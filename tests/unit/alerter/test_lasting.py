"""What comes and goes is one alert; what is not known changes nothing; what people say holds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import alert as a
from contracts.events import gpu as g
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.types import Launch, QueueAddress, Reason
from services.alerter.decide import RETRIES_S, Sent, alerts, due, settled, well_since
from services.alerter.state import Lag, Limits, State, View
from tests.unit.story import Story

ILL = Lag(head=9, published=1, published_behind_s=60.0, read_models_behind_s=60.0, parked=3)
WELL = Lag(head=9, published=9, published_behind_s=0.0, read_models_behind_s=0.0, parked=0)


class Watched:
    """A story with what the journal answers beside it."""

    def __init__(self):
        self.story, self.lag, self.well = Story(State()), None, {}

    @property
    def view(self):
        return View(self.story.state, self.story.now, lag=self.lag, well_since=self.well)

    def said(self, lag):
        self.lag = lag
        self.well = well_since(self.view)
        return self

    def decided(self):
        """Record what is decided, and return its types."""
        proposals = alerts(self.view)
        self.story.recorded(proposals)
        return [(draft.event.type, draft.event.rule) for (draft,) in proposals]


def offline(node_id="node-1"):
    return n.NodeWentOffline(node_id=node_id, silent_s=12, error="no answer")


def online(node_id="node-1"):
    return n.NodeCameOnline(node_id=node_id, boot_id="b")


def a_model():
    return m.ModelRegistered(
        model_id="m",
        environment_id="e",
        name="llama",
        queue=QueueAddress(host="h", name="q", username="u"),
        average_inference_time_s=1.0,
        launch=Launch(template="echo"),
    )


def test_what_comes_and_goes_is_one_alert_until_it_is_calm():
    watched = Watched()
    watched.story.told(offline())
    assert watched.decided() == [("alert.raised", "node_offline")]
    for _ in range(5):
        watched.story.later(20).told(online())
        assert watched.decided() == []
        watched.story.later(20).told(offline())
        assert watched.decided() == []
    watched.story.told(online()).later(30)
    assert watched.decided() == [("alert.resolved", "node_offline")]


MEASURED = ("journal_lag", "messages_parked", "projector_lag")


def test_measured_conditions_are_raised_once_and_resolved_once_when_calm():
    watched = Watched().said(ILL)
    assert watched.decided() == [("alert.raised", rule) for rule in MEASURED]
    assert watched.said(ILL).decided() == []
    assert watched.said(WELL).decided() == []
    watched.story.later(29)
    assert watched.said(WELL).decided() == []
    watched.story.later(1)
    assert watched.said(WELL).decided() == [("alert.resolved", rule) for rule in MEASURED]


def test_a_look_at_what_is_parked_resolves_nothing():
    watched = Watched().said(ILL)
    watched.decided()
    watched.said(WELL).story.later(20)
    watched.said(ILL).story.later(20)  # it was with whoever looked, and is back
    assert watched.said(WELL).decided() == []


def test_while_the_journal_does_not_answer_everything_is_as_it_was():
    watched = Watched().said(ILL)
    watched.decided()
    watched.said(None).story.later(1000)
    assert watched.decided() == []
    assert Watched().said(None).decided() == []


def test_a_successor_that_just_asked_resolves_nothing_at_once():
    watched = Watched().said(ILL)
    watched.decided()
    watched.well = {}
    watched.lag = WELL  # asked, but since when it is so is not known yet
    assert watched.decided() == []


def test_a_rule_that_is_switched_off_ends_its_alerts_and_raises_none():
    watched = Watched()
    watched.story.told(offline())
    watched.decided()
    watched.story.told(a.AlertRuleConfigured(rule="node_offline", enabled=False))
    assert watched.decided() == [("alert.resolved", "node_offline")]
    watched.story.told(offline("node-2"))
    assert watched.decided() == []
    watched.story.told(a.AlertRuleConfigured(rule="node_offline"))
    assert watched.decided() == [("alert.raised", "node_offline")] * 2


def test_an_alert_that_is_raised_again_is_another_one_on_a_stream_of_its_own():
    watched, streams = Watched(), []
    watched.story.told(offline())
    for _ in range(3):
        [(raised,)] = alerts(watched.view)
        assert (raised.event.type, raised.expected_version) == ("alert.raised", 0)
        streams.append(raised.stream)
        assert watched.decided() == [("alert.raised", "node_offline")]
        watched.story.told(a.AlertRuleConfigured(rule="node_offline", enabled=False))
        assert watched.decided() == [("alert.resolved", "node_offline")]
        watched.story.told(a.AlertRuleConfigured(rule="node_offline"))
    assert len(set(streams)) == len(streams)


def test_an_open_alert_of_a_rule_that_is_no_more_is_resolved():
    watched = Watched()
    old = a.AlertRaised(alert_id="x:1", rule="x", subject="1", severity="info", summary="old")
    watched.story.told(old)
    assert watched.decided() == [("alert.resolved", "x")]


def test_a_queue_at_its_limit_does_not_flap():
    watched, decided = Watched(), []
    watched.story.told(a_model())
    for number in range(60):
        length = 10 if number < 30 else 22 if number % 2 else 19
        watched.story.later(60).told(
            q.QueueSampled(model_id="m", length=length, ready=length, unacknowledged=0)
        )
        decided += watched.decided()
    assert decided == [("alert.raised", "queue_growth"), ("alert.resolved", "queue_growth")]


# Silences.


def waiting(story):
    return due(story.state, story.now, RETRIES_S, set())


def silence(story, seconds=3600, **what):
    until = story.now + timedelta(seconds=seconds)
    return a.SilenceBegun(silence_id="s", until=until, because="", **what)


@pytest.fixture
def watched():
    made = Watched()
    made.story.told(a.WebhookRegistered(webhook_id="w", url="https://w.example/"))
    return made


@pytest.mark.parametrize(
    ("what", "is_told"),
    [
        ({}, False),
        ({"rule": "node_offline"}, False),
        ({"subject": "node-1"}, False),
        ({"rule": "node_offline", "subject": "node-1"}, False),
        ({"rule": "model_floor"}, True),
        ({"subject": "node-2"}, True),
    ],
)
def test_a_silence_covers_a_rule_a_subject_both_or_all(watched, what, is_told):
    watched.story.told(silence(watched.story, **what), offline())
    assert watched.decided() == [("alert.raised", "node_offline")]
    assert bool(waiting(watched.story)) is is_told


def test_what_is_open_when_a_silence_ends_is_told_then(watched):
    watched.story.told(silence(watched.story, 100), offline())
    watched.decided()
    assert waiting(watched.story.later(99)) == []
    assert [p.type for p in waiting(watched.story.later(1))] == ["alert.raised"]


def test_a_lifted_silence_is_over_at_once(watched):
    watched.story.told(silence(watched.story), offline())
    watched.decided()
    watched.story.told(a.SilenceLifted(silence_id="s"))
    assert [p.type for p in waiting(watched.story)] == ["alert.raised"]


def test_what_began_and_ended_in_a_silence_is_never_told(watched):
    watched.story.told(silence(watched.story), offline())
    watched.decided()
    watched.story.told(online()).later(30)
    assert watched.decided() == [("alert.resolved", "node_offline")]
    assert waiting(watched.story.later(1e6)) == []
    assert watched.story.state.outbox == {}


def test_the_end_of_what_was_told_before_a_silence_is_told_after_it(watched):
    watched.story.told(offline())
    watched.decided()
    (pending,) = waiting(watched.story)
    watched.story.recorded([settled(pending, Sent(200), RETRIES_S)])
    watched.story.told(silence(watched.story, 100), online()).later(30)
    watched.decided()
    assert waiting(watched.story) == []
    assert [p.type for p in waiting(watched.story.later(70))] == ["alert.resolved"]


def test_a_silence_that_is_past_is_forgotten_with_the_next(watched):
    watched.story.told(silence(watched.story, 10)).later(11)
    watched.story.told(
        a.SilenceBegun(silence_id="t", until=watched.story.now, because="", rule=None)
    )
    assert list(watched.story.state.silences) == ["t"]


# Never twice, whatever happens in whatever order.

NODES = st.sampled_from(["node-1", "node-2"])
GPUS = st.sampled_from(["G", "H"])


HAPPENINGS = st.one_of(
    st.builds(offline, NODES),
    st.builds(online, NODES),
    st.builds(n.NodeDeleted, node_id=NODES),
    st.builds(
        g.GpuAllocated,
        gpu_uuid=GPUS,
        node_id=NODES,
        instance_id=st.just("i"),
        model_id=st.just("m"),
    ),
    st.builds(
        g.GpuFreed, gpu_uuid=GPUS, node_id=NODES, instance_id=st.just("i"), because=st.just("died")
    ),
    st.builds(g.GpuQuarantined, gpu_uuid=GPUS, node_id=NODES, because=st.just("x")),
    st.builds(g.GpuReleased, gpu_uuid=GPUS, node_id=NODES, because=st.just("x")),
    st.just(a_model()),
    st.just(m.ModelDeleted(model_id="m")),
    st.just(m.ModelFloorUnmet(model_id="m", instances=0, floor=1, reason=Reason(code="no"))),
    st.just(m.ModelFloorMet(model_id="m", instances=1, floor=1)),
    st.builds(
        q.QueueSampled,
        model_id=st.just("m"),
        length=st.sampled_from([0, 100, 1000]),
        ready=st.just(0),
        unacknowledged=st.just(0),
    ),
    st.just(q.QueueUnreachable(model_id="m", code="not_found", detail="d")),
    st.just(q.QueueRecovered(model_id="m")),
    st.builds(
        a.AlertRuleConfigured,
        rule=st.sampled_from(["node_offline", "agent_lost", "messages_parked"]),
        enabled=st.booleans(),
    ),
    st.sampled_from([WELL, ILL, None]),
    st.floats(0, 2000),
)


@given(st.lists(HAPPENINGS, max_size=40))
def test_no_alert_is_raised_twice_resolved_twice_or_named_like_another(happenings):
    watched, open_now, used = Watched(), set(), set()
    for happening in happenings:
        match happening:
            case float():
                watched.story.later(happening)
            case Lag() | None:
                watched.said(happening)
            case _:
                watched.story.told(happening)
        proposals = alerts(watched.view)
        for (draft,) in proposals:
            about = (draft.event.rule, draft.event.subject)
            if draft.event.type == "alert.raised":
                assert about not in open_now
                assert draft.event.alert_id not in used
                used.add(draft.event.alert_id)
                open_now.add(about)
            else:
                open_now.remove(about)
        watched.story.recorded(proposals)
        assert alerts(watched.view) == []
        assert watched.story.state.open.keys() == open_now


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 29)), max_size=60))
def test_an_alert_never_flaps_faster_than_its_calm(changes):
    """Whatever a node does, once raised its alert stands as long as no calm is kept."""
    watched = Watched()
    watched.story.told(offline())
    assert len(watched.decided()) == 1
    calm_s = 0.0
    for is_online, wait_s in changes:
        watched.story.told(online() if is_online else offline())
        calm_s = calm_s + wait_s if is_online else 0.0
        watched.story.later(wait_s)
        if calm_s < 30:
            assert watched.decided() == []
        else:
            break


def test_calm_is_shortened_for_those_who_cannot_wait():
    story = Story(State()).told(offline())
    limits = Limits(calm_scale=0.0)
    story.recorded(alerts(View(story.state, story.now, limits)))
    story.told(online())
    assert len(alerts(View(story.state, story.now, limits))) == 1
