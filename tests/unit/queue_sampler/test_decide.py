"""What the queue sampler asks, and what an answer is worth recording."""

from copy import deepcopy
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events.control import NameReleased
from contracts.events.model import ModelDeleted, ModelRegistered, ModelUpdated
from contracts.events.queue import QueueRecovered, QueueSampled, QueueUnreachable
from contracts.types import Launch, QueueAddress, SecretRef
from services.queue_sampler.decide import Asked, changes, due, probed, sampled, urgent
from services.queue_sampler.state import (
    Failure,
    NotYet,
    Probe,
    Reading,
    State,
    _fold,
    connection_of,
)
from tests.unit.story import Story


def an_address(**different):
    known = {"host": "rabbit", "name": "llama", "username": "u", "vhost": "/"}
    return QueueAddress.model_validate({**known, **different})


def a_model(model_id="m", **address):
    return ModelRegistered(
        model_id=model_id,
        environment_id="e",
        name=model_id,
        queue=an_address(**address),
        average_inference_time_s=1.0,
        launch=Launch(template="echo"),
    )


def moved(model_id="m", **address):
    return ModelUpdated(**a_model(model_id, **address).model_dump())


def a_sample(length, model_id="m"):
    return QueueSampled(model_id=model_id, length=length, ready=length, unacknowledged=0)


@pytest.fixture
def story():
    return Story(State()).told(a_model())


def test_a_new_model_is_asked_at_once(story):
    assert due(story.state, {}, 0.0, at_once=True) == ["m"]


def test_a_model_that_was_asked_waits_for_its_turn(story):
    asked = {"m": Asked(again_at=60.0, since=story.state.queues["m"].since)}
    assert due(story.state, asked, 59.0, at_once=True) == []
    assert due(story.state, asked, 60.0, at_once=True) == ["m"]


@pytest.mark.parametrize(("at_once", "expected"), [(True, ["m"]), (False, [])])
def test_a_queue_that_moved_is_asked_at_once_unless_that_is_off(story, at_once, expected):
    asked = {"m": Asked(again_at=60.0, since=story.state.queues["m"].since)}
    story.told(moved(host="elsewhere"))
    assert due(story.state, asked, 1.0, at_once=at_once) == expected


def test_a_change_that_leaves_the_queue_where_it_was_keeps_what_is_known(story):
    story.told(a_sample(3), moved())
    assert story.state.samples["m"].ready == 3


def test_what_was_known_of_a_queue_that_moved_is_forgotten(story):
    story.told(a_sample(3), moved(name="other"))
    assert "m" not in story.state.samples


def test_a_deleted_model_is_asked_no_more_and_its_late_answer_changes_nothing(story):
    story.told(ModelDeleted(model_id="m"), a_sample(3))
    assert due(story.state, {}, 0.0, at_once=True) == []
    assert changes(story.state, "m", Failure("unreachable", "gone")) == []
    assert story.state.samples == {}


def test_a_queue_that_cannot_be_read_is_said_once(story):
    failure = Failure("unauthorized", "no")
    decided = changes(story.state, "m", failure)
    assert [d.event for p in decided for d in p] == [
        QueueUnreachable(model_id="m", code="unauthorized", detail="no")
    ]
    assert decided[0][0].stream == "queue/m"
    story.recorded(decided)
    assert changes(story.state, "m", failure) == []


def test_another_cause_is_said_too(story):
    story.recorded(changes(story.state, "m", Failure("unauthorized", "no")))
    assert len(changes(story.state, "m", Failure("not_found", "no"))) == 1


def test_an_answer_after_trouble_is_a_recovery(story):
    story.recorded(changes(story.state, "m", Failure("unreachable", "no")))
    decided = changes(story.state, "m", Reading(0, 0))
    assert decided[0][0].event == QueueRecovered(model_id="m")
    story.recorded(decided)
    assert changes(story.state, "m", Reading(0, 0)) == []


def test_a_queue_that_is_not_counted_yet_is_neither_trouble_nor_recovery(story):
    assert changes(story.state, "m", NotYet("soon")) == []
    story.recorded(changes(story.state, "m", Failure("unreachable", "no")))
    assert changes(story.state, "m", NotYet("soon")) == []


def test_what_was_known_before_trouble_is_unknown_after_it(story):
    story.told(a_sample(3)).recorded(changes(story.state, "m", Failure("unreachable", "no")))
    assert "m" not in story.state.samples


def test_a_long_detail_is_cut_before_it_is_recorded(story):
    decided = changes(story.state, "m", Failure("unreachable", "x" * 10_000))
    assert len(decided[0][0].event.detail) == 500


def test_length_counts_what_is_ready_and_what_is_unacknowledged():
    event = sampled("m", Reading(3, 4, consumers=2, published_total=9)).event
    assert (event.length, event.ready, event.unacknowledged) == (7, 3, 4)
    assert (event.consumers, event.published_total, event.source) == (2, 9, "management")


def test_a_probe_adds_what_was_last_known_to_be_unacknowledged():
    draft = probed("m", Reading(0, 4, published_total=9), Probe(6, consumers=1))
    assert draft.stream == "queue-samples/m"
    assert (draft.event.length, draft.event.unacknowledged, draft.event.source) == (10, 4, "probe")
    assert draft.event.published_total is None


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, 50, None),
        (0, 0, None),
        (0, 1, "grew"),
        (5, 0, "emptied"),
        (5, 10, None),
        (5, 15, "grew"),
        (20, 39, None),
        (20, 40, "grew"),
        (40, 20, None),
    ],
)
def test_only_what_changed_much_is_urgent(before, now, expected):
    previous = None if before is None else Reading(before, 0)
    assert urgent(previous, Probe(now)) == expected


def test_connections_differ_by_broker_user_host_and_version_of_the_password():
    one = an_address(password=SecretRef(secret_id="s", version=1))
    assert connection_of(one) == connection_of(one.model_copy(update={"name": "other"}))
    rotated = one.model_copy(update={"password": SecretRef(secret_id="s", version=2)})
    assert connection_of(one) != connection_of(rotated)
    assert connection_of(one) != connection_of(an_address())


def test_an_event_it_does_not_fold_is_a_bug(story):
    with pytest.raises(TypeError):
        _fold(NameReleased(kind="model", name="llama"), story.state, 1)


ANSWERS = st.one_of(
    st.builds(Reading, st.integers(0, 50), st.integers(0, 50)),
    st.builds(Failure, st.sampled_from(["unauthorized", "not_found", "unreachable"]), st.just("")),
    st.just(NotYet("")),
)


@given(st.lists(ANSWERS, max_size=30))
def test_a_fact_is_never_repeated_and_a_decision_never_changes_the_state(answers):
    story = Story(State()).told(a_model())
    said = [("QueueRecovered", None)]
    for answer in answers:
        before = deepcopy(vars(story.state))
        decided = changes(story.state, "m", answer)
        assert vars(story.state) == before
        said += [
            (type(draft.event).__name__, getattr(draft.event, "code", None))
            for proposal in decided
            for draft in proposal
        ]
        story.recorded(decided)
    assert all(one != following for one, following in pairwise(said))


@given(st.one_of(st.none(), st.integers(0, 200)), st.integers(0, 200))
def test_a_probe_after_a_recorded_probe_is_never_urgent_again(before, now):
    previous = None if before is None else Reading(before, 0)
    if urgent(previous, Probe(now)) is not None:
        assert urgent(Reading(now, 0), Probe(now)) is None
