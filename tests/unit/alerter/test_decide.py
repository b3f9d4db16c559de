"""Each alert is raised once and resolved once, and carried to each webhook until it is taken."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import alert as a
from contracts.events import node as n
from contracts.events.control import LeaseAcquired, NameReleased
from services.alerter.decide import RETRIES_S, Cry, Sent, alerts, due, message, settled
from services.alerter.state import State, View
from services.alerter.state.folded import fold
from tests.unit.story import NOON, Story

CALM_S = 30


def offline(node_id="node-1"):
    return n.NodeWentOffline(node_id=node_id, silent_s=12, error="no answer")


def online(node_id="node-1"):
    return n.NodeCameOnline(node_id=node_id, boot_id="b")


def a_webhook(webhook_id="w"):
    return a.WebhookRegistered(webhook_id=webhook_id, url=f"https://{webhook_id}.example/")


def decided(story):
    return alerts(View(story.state, story.now))


def waiting(story, *sending):
    return due(story.state, story.now, RETRIES_S, set(sending))


def tried(story, sent, webhook_id="w"):
    """Send what is due for a webhook, and record how it went."""
    pending = next(p for p in waiting(story) if p.webhook_id == webhook_id)
    outcome = settled(pending, sent, RETRIES_S)
    story.recorded([outcome])
    return outcome[0].event


@pytest.fixture
def story():
    return Story(State()).told(a_webhook())


@pytest.fixture
def alarmed(story):
    story.told(offline())
    return story.recorded(decided(story))


def test_an_alert_is_raised_once(story):
    story.told(offline())
    (proposal,) = decided(story)
    event = proposal[0].event
    assert (event.type, event.rule, event.subject) == ("alert.raised", "node_offline", "node-1")
    assert event.alert_id == "node_offline:node-1:2"
    assert proposal[0].stream == "alert/node_offline:node-1:2"
    assert proposal[0].expected_version == 0
    assert decided(story.recorded([proposal])) == []


def test_an_alert_is_resolved_once(alarmed):
    alarmed.told(online())
    assert decided(alarmed.later(CALM_S - 1)) == []
    (proposal,) = decided(alarmed.later(1))
    assert proposal[0].event.alert_id == "node_offline:node-1:2"
    assert proposal[0].event.type == "alert.resolved"
    assert decided(alarmed.recorded([proposal])) == []


def test_the_same_trouble_again_is_another_alert(alarmed):
    alarmed.told(online()).later(CALM_S)
    alarmed.recorded(decided(alarmed)).told(offline())
    assert decided(alarmed)[0][0].event.alert_id != "node_offline:node-1:2"


def test_an_alert_goes_to_every_webhook_of_its_moment(story):
    story.told(a_webhook("v"), offline())
    story.recorded(decided(story)).told(a_webhook("late"))
    assert [p.webhook_id for p in waiting(story)] == ["w", "v"]


def test_what_is_delivered_is_not_sent_again(alarmed):
    event = tried(alarmed, Sent(204))
    assert (event.type, event.attempt, event.status_code) == ("alert.delivered", 1, 204)
    assert waiting(alarmed) == []


def test_what_is_under_way_is_not_sent_twice(alarmed):
    (pending,) = waiting(alarmed)
    assert waiting(alarmed, pending.key) == []


def test_what_failed_is_tried_again_at_the_times_of_the_standard(alarmed):
    for attempt, wait_s in enumerate(RETRIES_S, 1):
        event = tried(alarmed, Sent(503))
        assert (event.attempt, event.gives_up, event.error) == (attempt, False, "status 503")
        assert waiting(alarmed.later(wait_s - 0.5)) == []
        assert len(waiting(alarmed.later(0.5))) == 1
    assert tried(alarmed, Sent(error="no answer in 5 s")).gives_up
    assert waiting(alarmed.later(1e6)) == []


@pytest.mark.parametrize("status", [301, 400, 404, 500, 199])
def test_only_a_status_of_the_two_hundreds_is_a_delivery(alarmed, status):
    assert tried(alarmed, Sent(status)).type == "alert.delivery_failed"


def test_a_webhook_that_is_gone_gets_nothing_more(alarmed):
    event = tried(alarmed, Sent(410))
    assert (event.gives_up, event.status_code) == (True, 410)
    assert waiting(alarmed.later(1e6)) == []
    alarmed.told(online()).later(CALM_S)
    assert waiting(alarmed.recorded(decided(alarmed))) == []


def test_a_deleted_webhook_gets_nothing_more(alarmed):
    assert waiting(alarmed.told(a.WebhookDeleted(webhook_id="w"))) == []


def test_a_failure_of_a_message_that_nobody_waits_for_changes_nothing(alarmed):
    (pending,) = waiting(alarmed)
    alarmed.told(a.WebhookDeleted(webhook_id="w"))
    alarmed.recorded([settled(pending, Sent(500), RETRIES_S)])
    assert waiting(alarmed.later(1e6)) == []


def test_that_it_is_over_is_not_told_before_that_it_began(alarmed):
    alarmed.told(online()).later(CALM_S)
    tried(alarmed, Sent(503))
    alarmed.recorded(decided(alarmed))
    assert waiting(alarmed) == []
    alarmed.later(RETRIES_S[0])
    assert tried(alarmed, Sent(200)).message_id == "event-3"
    assert [p.type for p in waiting(alarmed)] == ["alert.resolved"]


def test_a_message_is_a_cloud_event_that_is_the_same_at_every_attempt(alarmed):
    (pending,) = waiting(alarmed)
    first = message(pending)
    tried(alarmed, Sent(500))
    (again,) = waiting(alarmed.later(5))
    assert message(again) == first
    assert first.model_dump(exclude={"data"}) == {
        "specversion": "1.0",
        "id": "event-3",
        "source": "/quartermaster/alerter",
        "type": "alert.raised",
        "subject": "node-1",
        "time": NOON,
        "datacontenttype": "application/json",
    }
    assert first.data["rule"] == "node_offline"


def test_a_cry_is_told_as_an_alert_that_begins_and_ends():
    cry = Cry("h", 1, NOON)
    raised, resolved = cry.message("alert.raised", NOON), cry.message("alert.resolved", NOON)
    assert raised.data["alert_id"] == resolved.data["alert_id"]
    assert raised.id != resolved.id
    assert "summary" in raised.data
    assert "summary" not in resolved.data


def test_who_leads_is_known_from_the_log(story):
    story.told(LeaseAcquired(name="alerter", epoch=1, holder="one"))
    story.told(LeaseAcquired(name="scheduler", epoch=1, holder="other"))
    assert story.state.leader == "one"


def test_an_event_it_does_not_fold_is_a_bug(story):
    with pytest.raises(TypeError):
        fold(NameReleased(kind="model", name="llama"), story.state, None)


NODES = st.sampled_from(["node-1", "node-2", "node-3"])
HAPPENINGS = st.one_of(
    st.builds(offline, NODES),
    st.builds(online, NODES),
    st.builds(n.NodeDeleted, node_id=NODES),
    st.builds(n.FleetSilenceSuspected, silent=st.just(2), nodes=st.just(3), window_s=st.just(30)),
    st.builds(n.FleetSilenceCleared, silent=st.just(0), nodes=st.just(3)),
)


@given(st.lists(HAPPENINGS, max_size=40))
def test_an_alert_is_never_raised_twice_while_it_is_open(happenings):
    story, open_now, used = Story(State()), set(), set()
    for happening in happenings:
        story.told(happening)
        before = deepcopy(vars(story.state))
        proposals = decided(story)
        assert vars(story.state) == before
        for (draft,) in proposals:
            subject = (draft.event.rule, draft.event.subject)
            if draft.event.type == "alert.raised":
                assert subject not in open_now
                assert draft.event.alert_id not in used
                used.add(draft.event.alert_id)
                open_now.add(subject)
            else:
                assert subject in open_now
                open_now.discard(subject)
        story.recorded(proposals)
        assert decided(story) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["w", "v"]),
            st.sampled_from([200, 204, 301, 410, 500, None]),
            st.floats(0, 40_000),
        ),
        max_size=40,
    )
)
def test_nothing_is_ever_delivered_twice_or_after_it_was_given_up(attempts):
    story = Story(State()).told(a_webhook("w"), a_webhook("v"), offline())
    story.recorded(decided(story))
    final = set()
    for webhook_id, status, wait_s in attempts:
        for pending in [p for p in waiting(story) if p.webhook_id == webhook_id]:
            assert pending.key not in final
            outcome = settled(pending, Sent(status, "" if status else "no answer"), RETRIES_S)
            if outcome[0].event.type == "alert.delivered" or outcome[0].event.gives_up:
                final.add(pending.key)
            assert pending.failures <= len(RETRIES_S)
            story.recorded([outcome])
        story.later(wait_s)


def test_an_alert_comes_of_what_began_it_is_over_by_what_ended_it_and_told_because_of_itself(story):
    story.told(offline())
    ((raised,),) = decided(story)
    assert raised.causation_id == f"event-{story.position}"
    story.recorded([(raised,)])
    (pending,) = waiting(story)
    (told,) = settled(pending, Sent(200), RETRIES_S)
    assert told.causation_id == f"event-{story.position}"
    story.told(online()).later(CALM_S)
    ((resolved,),) = decided(story)
    assert resolved.causation_id == f"event-{story.position}"
    story.recorded([(resolved,)])
    assert story.state.over == {}
