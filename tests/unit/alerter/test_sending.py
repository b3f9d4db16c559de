"""What is sent: as each kind of webhook takes it, again when somebody asks, and once for a test."""

from datetime import timedelta

import orjson
import pytest

from contracts.events import alert as a
from contracts.events import node as n
from services.alerter.decide import (
    RETRIES_S,
    Cry,
    Sent,
    alerts,
    due,
    letter,
    message,
    reminder,
    settled,
)
from services.alerter.state import State, View
from tests.unit.story import NOON, Story

BELIEVED_S = 240.0


def offline(node_id="node-1"):
    return n.NodeWentOffline(node_id=node_id, silent_s=12, error="no answer")


def a_webhook(webhook_id="w", **more):
    url = f"https://{webhook_id}.example/"
    return a.WebhookRegistered(webhook_id=webhook_id, url=url, **more)


def waiting(story):
    return due(story.state, story.now, RETRIES_S, set())


def judged(story):
    return story.recorded(alerts(View(story.state, story.now)))


def sent(story, status):
    """Send what is due, record how it went, and return that."""
    (pending,) = waiting(story)
    (draft,) = settled(pending, Sent(status), RETRIES_S)
    story.recorded([(draft,)])
    return draft.event


def told(story, pending):
    """Return the one alert that an Alertmanager is sent of a message."""
    made = letter(story.state.webhooks["w"], pending, story.now, BELIEVED_S)
    assert made.url == "https://w.example/api/v2/alerts"
    (posted,) = orjson.loads(made.body)
    return posted


@pytest.fixture
def story():
    return Story(State()).told(a_webhook())


@pytest.fixture
def manager():
    return Story(State()).told(a_webhook(kind="alertmanager"))


def test_a_test_is_sent_once_and_its_failure_is_final(story):
    story.told(a.WebhookTestAsked(webhook_id="w", message_id="test-1"))
    (pending,) = waiting(story)
    assert (message(pending).id, message(pending).type) == ("test-1", "alert.test")
    event = sent(story, 500)
    assert (event.message_id, event.gives_up, event.message_type) == ("test-1", True, "alert.test")
    assert waiting(story.later(1e6)) == []


@pytest.mark.parametrize(
    "asked",
    [
        a.WebhookTestAsked(webhook_id="none", message_id="t"),
        a.WebhookResendAsked(
            webhook_id="none",
            message_id="t",
            message_type="alert.raised",
            alert_id="x",
            subject="s",
            at=NOON,
            data={},
        ),
    ],
)
def test_what_is_asked_of_a_webhook_that_is_gone_is_not_sent(story, asked):
    assert waiting(story.told(asked)) == []


def test_a_message_is_sent_again_as_it_was_and_with_the_same_id(story):
    judged(story.told(offline()))
    (first,) = waiting(story)
    sent(story, 204)
    again = a.WebhookResendAsked(
        webhook_id="w",
        message_id=first.message_id,
        message_type="alert.raised",
        alert_id=first.alert_id,
        subject=first.subject,
        at=first.at,
        data=dict(first.data),
    )
    (second,) = waiting(story.later(9000).told(again))
    assert message(second) == message(first)
    assert sent(story, 204).attempt == 1
    assert waiting(story) == []


def test_what_was_given_up_can_be_sent_again_and_is_then_tried_as_often(story):
    judged(story.told(offline()))
    (pending,) = waiting(story)
    for wait_s in (*RETRIES_S, 0):
        event = sent(story, 503)
        story.later(wait_s)
    assert event.gives_up
    again = a.WebhookResendAsked(
        webhook_id="w",
        message_id=pending.message_id,
        message_type="alert.raised",
        alert_id=pending.alert_id,
        subject=pending.subject,
        at=pending.at,
        data=dict(pending.data),
    )
    assert not sent(story.told(again), 503).gives_up
    assert len(waiting(story.later(RETRIES_S[0]))) == 1


# Alertmanager.


def test_an_alertmanager_is_told_what_is_open_and_for_how_long_to_believe_it(manager):
    judged(manager.told(offline()))
    (pending,) = waiting(manager.later(10))
    assert told(manager, pending) == {
        "labels": {
            "alertname": "node_offline",
            "service": "quartermaster",
            "severity": "critical",
            "subject": "node-1",
        },
        "annotations": {
            "alert_id": "node_offline:node-1:2",
            "silent_s": "12.0",
            "summary": "node node-1 has not answered for 12 s",
        },
        "startsAt": "2026-11-21T12:00:00Z",
        "endsAt": "2026-11-21T12:04:10Z",
    }


def test_an_end_has_the_labels_and_the_beginning_of_its_alert(manager):
    judged(manager.told(offline()))
    raised = told(manager, waiting(manager)[0])
    sent(manager, 200)
    judged(manager.told(n.NodeCameOnline(node_id="node-1", boot_id="b")).later(30))
    resolved = told(manager.later(500), waiting(manager)[0])
    assert (resolved["labels"], resolved["startsAt"]) == (raised["labels"], raised["startsAt"])
    assert resolved["endsAt"] == "2026-11-21T12:00:30Z"


def test_a_test_of_an_alertmanager_is_over_by_itself(manager):
    manager.told(a.WebhookTestAsked(webhook_id="w", message_id="test-1"))
    posted = told(manager, waiting(manager)[0])
    assert posted["labels"]["alertname"] == "test"
    assert posted["endsAt"] == "2026-11-21T12:04:00Z"


def reminded(story):
    made = reminder(story.state, "w", story.now, BELIEVED_S)
    return made and [each["labels"]["subject"] for each in orjson.loads(made.body)]


def test_a_reminder_has_all_that_is_open_but_what_is_on_its_way_or_silenced(manager):
    assert reminded(manager) is None
    judged(manager.told(offline()))
    assert reminded(manager) is None  # it is on its way
    sent(manager, 200)
    assert reminded(manager) == ["node-1"]
    judged(manager.told(offline("node-2")))
    assert reminded(manager) == ["node-1"]
    sent(manager, 200)
    assert reminded(manager) == ["node-1", "node-2"]
    until = NOON + timedelta(hours=1)
    manager.told(a.SilenceBegun(silence_id="s", until=until, because="", subject="node-1"))
    assert reminded(manager) == ["node-2"]


def test_an_alertmanager_that_comes_late_is_reminded_of_what_is_open(story):
    judged(story.told(offline())).told(a_webhook("late", kind="alertmanager"))
    made = reminder(story.state, "late", story.now, BELIEVED_S)
    assert made.url == "https://late.example/api/v2/alerts"
    assert reminder(story.state, "w", story.now, BELIEVED_S) is None
    assert reminder(story.state, "none", story.now, BELIEVED_S) is None


def test_a_cry_to_an_alertmanager_begins_once_and_ends(manager):
    cry, webhook = Cry("h", 1, NOON), manager.state.webhooks["w"]
    later = NOON + timedelta(seconds=90)
    (raised,) = orjson.loads(cry.letter(webhook, "alert.raised", later, BELIEVED_S).body)
    (resolved,) = orjson.loads(cry.letter(webhook, "alert.resolved", later, BELIEVED_S).body)
    assert raised["labels"] == resolved["labels"]
    assert raised["startsAt"] == resolved["startsAt"] == "2026-11-21T12:00:00Z"
    assert raised["endsAt"] == "2026-11-21T12:05:30Z"
    assert resolved["endsAt"] == "2026-11-21T12:01:30Z"


def test_a_path_and_a_query_of_an_alertmanagers_address_are_kept(manager):
    manager.told(a.WebhookRegistered(webhook_id="w", url="https://h/am/?x=1", kind="alertmanager"))
    manager.told(a.WebhookTestAsked(webhook_id="w", message_id="test-1"))
    made = letter(manager.state.webhooks["w"], waiting(manager)[0], NOON, BELIEVED_S)
    assert made.url == "https://h/am/api/v2/alerts?x=1"
