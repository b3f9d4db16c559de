"""What an answer says of its node, what is reported of it, and what the log makes of it."""

import pytest

from contracts.events.instance import InstanceStartFailed
from contracts.events.node import NodeDeleted, NodeUpdated
from contracts.types import GpuUse
from services.node_monitor import decide
from services.node_monitor.state import State, Watch
from tests.unit.node_monitor.builders import (
    NOON,
    a_report,
    an_answer,
    died,
    given,
    inventory,
    offline,
    online,
    recorded,
    registered,
    requested,
    started,
    stop_requested,
)


def said(state, status):
    proposals = decide.answered(state.nodes["n1"], Watch(0.0), status, 100, {})
    return [draft.event for drafts in proposals for draft in drafts]


def test_a_first_answer_tells_what_the_node_is_and_that_it_is_online():
    assert said(given(registered()), an_answer()) == [inventory(), online()]


def test_a_node_that_answers_again_comes_online():
    state = given(registered(), inventory(), online(), offline())
    assert said(state, an_answer()) == [online()]


def test_a_changed_inventory_is_recorded_and_its_order_is_no_change():
    state = given(registered(), inventory(gpus=2), online())
    shuffled = an_answer(gpus=2)
    shuffled = shuffled.model_copy(update={"gpus": tuple(reversed(shuffled.gpus))})
    assert said(state, shuffled) == []
    assert said(state, an_answer(gpus=3)) == [inventory(gpus=3)]


def test_numbers_that_always_move_are_no_inventory():
    state = given(registered(), inventory(), online())
    busy = GpuUse(uuid="GPU-0", index=0, memory_used_mb=7, utilization_percent=99.0)
    assert said(state, an_answer().model_copy(update={"gpus": (busy,)})) == []


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (an_answer(gpus=2), None),
        (an_answer(a_report(), a_report()), "an instance twice"),
        (an_answer().model_copy(update={"gpus": an_answer().gpus * 2}), "a GPU twice"),
        (an_answer(supported_models=tuple("m" * 190 + str(n) for n in range(400))), "longer"),
    ],
)
def test_an_answer_that_cannot_be_true_is_told_apart(status, why):
    found = decide.nonsense(status)
    assert found is None if why is None else why in found


def test_a_report_is_due_at_first_then_after_the_interval():
    watch, status = Watch(0.0), an_answer(a_report())
    first = decide.report("n1", watch, status, 5.0, 30.0)
    assert first is not None
    assert [each.instance_id for each in first.instances] == ["i1"]
    watch.reported_s, watch.reported = 5.0, decide.gist(status)
    assert decide.report("n1", watch, status, 34.9, 30.0) is None
    assert decide.report("n1", watch, status, 35.0, 30.0) is not None


@pytest.mark.parametrize(
    "changed",
    [
        an_answer(a_report(state="exited")),
        an_answer(),
        an_answer(a_report(), foreign_pids=(7,)),
        an_answer(a_report(), gpus=2),
        an_answer(a_report(), boot_id="boot-2"),
    ],
)
def test_a_change_is_reported_at_once(changed):
    watch = Watch(0.0, reported_s=5.0, reported=decide.gist(an_answer(a_report())))
    assert decide.report("n1", watch, changed, 5.1, 30.0) is not None


def test_the_fold_knows_where_nodes_are_and_what_runs_on_them():
    state = given(registered(), inventory(), online(), requested(), started(), stop_requested())
    node, instance = state.nodes["n1"], state.instance("i1")
    assert (node.online, node.boot_id, len(node.gpus)) == (True, "boot-1", 1)
    assert instance is not None
    assert (instance.phase, instance.pid, instance.position) == ("stopping", 42, 6)
    moved = NodeUpdated(**{**registered().model_dump(), "agent_url": "http://10.0.0.9:1"})
    state.apply(recorded(7, moved))
    assert state.nodes["n1"].agent_url == "http://10.0.0.9:1"
    assert state.instance("i1") is instance


def test_a_start_that_is_told_after_its_stop_was_asked_stays_a_stop():
    state = given(registered(), requested(), stop_requested(), started())
    instance = state.instance("i1")
    assert instance is not None
    assert instance.phase == "stopping"


@pytest.mark.parametrize(
    "end",
    [
        died(),
        InstanceStartFailed(
            instance_id="i1", model_id="m", node_id="n1", gpu_uuid="GPU-0", code="x", error=""
        ),
        NodeDeleted(node_id="n1"),
    ],
)
def test_what_has_ended_is_forgotten(end):
    state = given(registered(), requested(), end)
    assert state.instance("i1") is None
    assert state.homes == {}


def test_what_concerns_unknown_nodes_changes_nothing():
    events = (inventory(), online(), offline(), requested(), started(), stop_requested(), died())
    state = given(*events, NodeDeleted(node_id="n1"))
    assert (state.nodes, state.homes) == ({}, {})


def test_a_type_that_is_not_folded_is_a_bug():
    assert "environment.deleted" not in State.TYPES
    from contracts.events.environment import EnvironmentDeleted

    with pytest.raises(TypeError):
        State().apply(recorded(1, EnvironmentDeleted(environment_id="e")))


def test_an_answer_ends_what_was_missed():
    watch = Watch(0.0)
    watch.miss(1.0, "a")
    watch.miss(2.0, "b")
    assert (watch.missed, watch.first_missed_s, watch.error) == (2, 1.0, "b")
    watch.answer(3.0, NOON)
    assert (watch.missed, watch.first_missed_s, watch.error) == (0, None, "")
