"""What the deployer is to do, from the log alone."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.envelope import Recorded
from contracts.events import environment
from contracts.events import instance as i
from contracts.events import node as n
from contracts.http.agent import Fence, InstanceAnswer, Killed
from contracts.types import InstanceReport, Launch, Reason
from services.deployer import decide
from services.deployer.state import State

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
REASON = Reason(code="busy")
IDS = ("i1", "i2", "i3")


def recorded(position, event):
    return Recorded(
        position=position,
        event_id=f"e-{position}",
        stream="a/b",
        version=1,
        type=event.type,
        schema_version=1,
        data=event.model_dump(mode="json"),
        recorded_at=NOON + timedelta(seconds=position),
    )


def given(*events):
    state = State()
    for position, event in enumerate(events, start=1):
        state.apply(recorded(position, event))
    return state


def where(name="i1"):
    return {"instance_id": name, "model_id": "m", "node_id": "n1", "gpu_uuid": "GPU-0"}


def requested(name="i1", epoch=7):
    return i.InstanceStartRequested(
        **where(name),
        model_name="llama",
        gpu_index=0,
        boot_id="boot-1",
        launch=Launch(template="echo"),
        epoch=epoch,
        reason=REASON,
    )


def started(name="i1"):
    return i.InstanceStarted(**where(name), pid=42)


def stop_requested(name="i1", epoch=8):
    return i.InstanceStopRequested(**where(name), epoch=epoch, reason=REASON)


def start_failed(name="i1"):
    return i.InstanceStartFailed(**where(name), code="exited", error="")


def stopped(name="i1"):
    return i.InstanceStopped(**where(name))


def died(name="i1"):
    return i.InstanceDied(**where(name), because="rebooted")


def answer(state, exit_code=None, **fields):
    report = InstanceReport(
        instance_id="i1",
        model_name="llama",
        gpu_uuid="GPU-0",
        pid=42,
        state=state,
        exit_code=exit_code,
    )
    return InstanceAnswer(instance=report, **fields)


def kinds(state):
    before = deepcopy(vars(state))
    jobs = decide.jobs(state)
    assert vars(state) == before
    return {key: job.kind for key, job in jobs.items()}


def test_what_was_requested_is_to_be_started():
    assert kinds(given(requested())) == {"instance/i1": "start"}


def test_what_was_started_needs_nothing():
    assert kinds(given(requested(), started())) == {}


@pytest.mark.parametrize("before", [(requested(),), (requested(), started())])
def test_a_wanted_stop_wins(before):
    assert kinds(given(*before, stop_requested())) == {"instance/i1": "stop"}


def test_a_start_told_after_a_stop_was_asked_is_still_to_be_stopped():
    state = given(requested(), stop_requested(), started())
    assert kinds(state) == {"instance/i1": "stop"}
    assert state.instances["i1"].pid == 42


@pytest.mark.parametrize("end", [start_failed(), stopped(), died()])
def test_what_has_ended_needs_nothing(end):
    assert kinds(given(requested(), stop_requested(), end)) == {}


def test_what_is_told_of_unknown_instances_changes_nothing():
    assert kinds(given(started(), stop_requested(), stopped(), died())) == {}


def test_a_start_carries_the_epoch_and_position_of_its_request():
    instance = given(n.NodeDeleted(node_id="n0"), requested(epoch=7)).instances["i1"]
    command = decide.start_command(instance)
    assert command.fence == Fence(epoch=7, position=2)
    assert (command.instance_id, command.boot_id) == ("i1", "boot-1")
    assert command == decide.start_command(instance)


def test_a_stop_carries_the_epoch_and_position_of_the_first_asking():
    state = given(requested(), stop_requested(epoch=8), stop_requested(epoch=9))
    command = decide.stop_command(state.instances["i1"], 5.0)
    assert (command.fence, command.grace_s) == (Fence(epoch=8, position=2), 5.0)


def test_a_start_given_up_is_ended_under_its_own_fence():
    command = decide.stop_command(given(requested(epoch=7)).instances["i1"], 5.0)
    assert command.fence == Fence(epoch=7, position=1)


def test_a_kill_is_to_be_done_until_it_is_answered():
    asked = n.ProcessKillAsked(node_id="n1", pid=5)
    other = n.ProcessKillAsked(node_id="n1", pid=6)
    state = given(asked, other, asked)
    assert kinds(state) == {"kill/1": "kill", "kill/2": "kill", "kill/3": "kill"}
    command = decide.kill_command(state.kills[1], 4, NOON)
    assert (command.fence, command.expires_at) == (Fence(epoch=4, position=1), NOON)
    state.apply(recorded(4, n.ProcessKilled(node_id="n1", pid=5)))
    assert kinds(state) == {"kill/2": "kill"}
    state.apply(recorded(5, n.ProcessKillFailed(node_id="n1", pid=6, error="x")))
    assert kinds(state) == {}


def test_a_ready_worker_has_started():
    instance = given(requested()).instances["i1"]
    draft = decide.begun(instance, answer("ready", load_s=2.0))
    assert draft is not None
    assert draft.stream == "instance/i1"
    assert draft.event == i.InstanceStarted(**where(), pid=42, load_s=2.0)


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_a_worker_on_its_way_says_nothing(state):
    assert decide.begun(given(requested()).instances["i1"], answer(state)) is None


@pytest.mark.parametrize(
    ("ended", "code", "error"),
    [
        (answer("exited"), "exited", "the worker ended"),
        (answer("failed", exit_code=1), "exited", "exit code 1"),
        (answer("failed", error="slow", error_code="ready_timeout"), "ready_timeout", "slow"),
        (answer("exited", error="x", log_tail="no memory"), "exited", "x\nno memory"),
    ],
)
def test_a_worker_that_ended_before_it_was_ready_has_failed(ended, code, error):
    draft = decide.begun(given(requested()).instances["i1"], ended)
    assert draft is not None
    assert draft.event == i.InstanceStartFailed(**where(), code=code, error=error)


def test_only_an_ended_worker_is_dead():
    dead = {state for state in ("starting", "ready", "stopping") if decide.is_dead(answer(state))}
    assert dead == set()
    assert decide.is_dead(answer("exited"))
    assert decide.is_dead(answer("failed"))


def test_a_refusal_is_named_as_the_log_names_it():
    instance = given(requested()).instances["i1"]
    assert decide.start_failed(instance, "held", "x").event.code == "refused_gpu_held"
    assert decide.start_failed(instance, "", "x").event.code == "refused"


def test_a_long_error_keeps_its_head_and_its_end():
    instance = given(requested()).instances["i1"]
    error = decide.start_failed(instance, "exited", "a" * 9000 + "\x00" + "z" * 9000).event.error
    assert (len(error), error[0], error[-1]) == (4000, "a", "z")


def test_the_facts_of_an_end():
    state = given(requested(), n.ProcessKillAsked(node_id="n1", pid=5))
    assert decide.stopped(state.instances["i1"], 3).event.exit_code == 3
    kill = state.kills[2]
    killed = decide.killed(kill, Killed(pid=5, found=False))
    assert (killed.stream, killed.event.found) == ("process/n1", False)
    assert decide.kill_failed(kill, "no").event.error == "no"


def test_nodes_are_where_they_were_last_said_to_be():
    at = {"node_id": "n1", "environment_id": "e", "name": "n1"}
    state = given(n.NodeRegistered(**at, agent_url="http://a"))
    assert state.agents == {"n1": "http://a"}
    state.apply(recorded(2, n.NodeUpdated(**at, agent_url="http://b")))
    assert state.agents == {"n1": "http://b"}
    state.apply(recorded(3, n.NodeDeleted(node_id="n1")))
    assert state.agents == {}


def test_a_type_that_is_not_folded_is_a_bug():
    with pytest.raises(TypeError):
        given(environment.EnvironmentDeleted(environment_id="e"))


facts = st.sampled_from([started, stop_requested, start_failed, stopped, died])
steps = st.lists(st.tuples(facts, st.sampled_from(IDS)), max_size=20)


@for_all(steps)
def test_nothing_is_started_after_its_stop_was_asked_or_its_end_was_told(sequence):
    state = given(*(requested(name) for name in IDS))
    settled: set[str] = set()
    for position, (fact, name) in enumerate(sequence, start=10):
        state.apply(recorded(position, fact(name)))
        settled.add(name)
        jobs = decide.jobs(state)
        assert not any(jobs.get(f"instance/{each}", _NONE).kind == "start" for each in settled)
    ended = {name for fact, name in sequence if fact in (start_failed, stopped, died)}
    assert ended.isdisjoint(state.instances)


class _NONE:
    kind = "none"


def test_what_was_done_comes_of_what_asked_for_it():
    wanted = given(requested()).instances["i1"]
    assert decide.start_failed(wanted, "exited", "no").causation_id == "e-1"
    assert decide.stopped(wanted, 0).causation_id == "e-1"
    unwanted = given(requested(), started(), stop_requested(), stop_requested()).instances["i1"]
    assert decide.stopped(unwanted, 0).causation_id == "e-3"
    assert decide.stopped(unwanted, 0).correlation_id == "e-3"
