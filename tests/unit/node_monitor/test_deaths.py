"""When the monitor says that an instance has died, and when it must not."""

from copy import deepcopy

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.events.instance import InstanceDied
from services.node_monitor import decide
from services.node_monitor.state import Watch
from tests.unit.node_monitor.builders import (
    NOON,
    a_report,
    an_answer,
    died,
    given,
    inventory,
    online,
    registered,
    requested,
    started,
    stop_requested,
)

KNOWN = (registered(), inventory(), online())
RUNNING = (*KNOWN, requested(), started())


def when_answering(state, *answers, asked_at=100, tails=None):
    """Return what the last of these answers, one after the other, makes the monitor say."""
    watch, node = Watch(0.0), state.nodes["n1"]
    proposals = []
    for number, status in enumerate(answers):
        watch.answer(float(number), NOON)
        watch.compare(node, status, asked_at)
        before = deepcopy(state.nodes)
        proposals = decide.answered(node, watch, status, asked_at, tails or {})
        assert state.nodes == before
    return [draft.event for drafts in proposals for draft in drafts]


def test_nothing_new_says_nothing():
    assert when_answering(given(*RUNNING), an_answer(a_report())) == []


@pytest.mark.parametrize("state", ["exited", "failed"])
def test_a_started_instance_that_ended_has_died_with_its_last_lines(state):
    answer = an_answer(a_report(state=state, exit_code=137))
    said = when_answering(given(*RUNNING), answer, tails={"i1": "killed"})
    assert said == [died(exit_code=137, log_tail="killed")]


def test_the_log_of_an_instance_is_wanted_when_it_ended():
    node = given(*RUNNING).nodes["n1"]
    assert decide.ended(node, an_answer(a_report(state="exited")), 100) == ["i1"]
    assert decide.ended(node, an_answer(a_report()), 100) == []


def test_an_instance_left_out_once_has_not_died():
    assert when_answering(given(*RUNNING), an_answer()) == []


def test_an_instance_left_out_twice_is_lost():
    said = when_answering(given(*RUNNING), an_answer(), an_answer())
    assert said == [died(because="lost")]


def test_an_instance_listed_in_between_is_not_lost():
    said = when_answering(given(*RUNNING), an_answer(), an_answer(a_report()), an_answer())
    assert said == []


def test_an_instance_whose_process_is_still_on_a_gpu_is_not_lost():
    answer = an_answer(foreign_pids=(42,))
    assert when_answering(given(*RUNNING), answer, answer, answer) == []


def test_an_answer_older_than_the_start_says_nothing_about_it():
    state = given(*RUNNING)
    assert when_answering(state, an_answer(), an_answer(), asked_at=4) == []
    other = an_answer(a_report(state="exited"))
    assert when_answering(state, other, asked_at=4) == []


def test_an_answer_older_than_the_request_says_nothing_of_a_reboot():
    state = given(*KNOWN, requested(boot_id="boot-2"))
    assert when_answering(state, an_answer(), asked_at=3) == []


def test_a_reboot_ends_everything_of_the_old_boot_whatever_was_wanted_of_it():
    state = given(
        *KNOWN,
        requested("i1"),
        started("i1"),
        requested("i2"),
        requested("i3"),
        started("i3"),
        stop_requested("i3"),
    )
    said = when_answering(state, an_answer(boot_id="boot-2"))
    deaths = [event for event in said if isinstance(event, InstanceDied)]
    assert deaths == [died(name, because="rebooted") for name in ("i1", "i2", "i3")]


def test_a_dead_report_of_another_boot_is_a_reboot_not_an_exit():
    said = when_answering(given(*RUNNING), an_answer(a_report(state="exited"), boot_id="boot-2"))
    assert died(because="rebooted") in said


def test_what_is_starting_or_stopping_is_the_deployers_to_report():
    starting = given(*KNOWN, requested())
    stopping = given(*RUNNING, stop_requested())
    for state in (starting, stopping):
        for answer in (an_answer(), an_answer(a_report(state="exited"))):
            assert when_answering(state, answer, answer, answer) == []


def test_counting_forgets_instances_that_have_ended():
    state, watch = given(*RUNNING), Watch(0.0)
    watch.compare(state.nodes["n1"], an_answer(), 100)
    assert watch.absent == {"i1": 1}
    ended = given(*RUNNING, died())
    watch.compare(ended.nodes["n1"], an_answer(), 100)
    assert watch.absent == {}


reports = st.lists(
    st.builds(a_report, state=st.sampled_from(["starting", "ready", "stopping"])), max_size=1
)
answers = st.lists(
    st.builds(
        lambda listed, pids: an_answer(*listed, foreign_pids=pids),
        reports,
        st.sampled_from([(), (42,), (7,)]),
    ),
    min_size=1,
    max_size=8,
)


@for_all(answers)
def test_an_instance_never_dies_without_its_agent_saying_so(sequence):
    said = when_answering(given(*RUNNING), *sequence)
    if any(isinstance(event, InstanceDied) for event in said):
        last_two = sequence[-2:]
        assert len(last_two) == 2
        for status in last_two:
            assert not status.instances
            assert 42 not in status.gpus[0].foreign_pids


def test_a_death_comes_of_what_was_done_to_the_instance_last():
    state = given(*RUNNING)
    watch, node = Watch(0.0), state.nodes["n1"]
    answer = an_answer(a_report(state="exited"))
    ((draft,),) = decide.answered(node, watch, answer, 100, {})
    assert draft.causation_id == node.instances["i1"].cause.event_id
    assert node.instances["i1"].cause.position == len(RUNNING)


def test_only_a_node_s_first_answer_comes_of_its_being_registered():
    state = given(registered())
    ((inventory_changed, came_online),) = decide.answered(
        state.nodes["n1"], Watch(0.0), an_answer(), 100, {}
    )
    cause = state.nodes["n1"].introduced_by.event_id
    assert inventory_changed.causation_id == came_online.causation_id == cause
    known = given(*KNOWN).nodes["n1"]
    known.online = False
    ((came_back,),) = decide.answered(known, Watch(0.0), an_answer(), 100, {})
    assert came_back.causation_id is None
