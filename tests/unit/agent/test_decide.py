"""What the agent obeys and what it refuses."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.http.agent import Fence, KillCommand, SecretFile, StartCommand, StopCommand
from contracts.types import Gpu, Launch
from services.agent.decide.commands import (
    Begin,
    End,
    Known,
    Offer,
    Refusal,
    on_kill,
    on_start,
    on_stop,
)
from services.agent.decide.launch import FileReady, Template
from services.agent.state import LIVE, Instance, State, older

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEMPLATE = Template(name="plain", argv=("run",), ready=FileReady(kind="file"))
OFFER = Offer({"plain": TEMPLATE}, frozenset({"*"}))
GPUS = ("GPU-a", "GPU-b")


def a_fence(position, epoch=1):
    return Fence(epoch=epoch, position=position)


def a_start(instance_id="i-1", position=1, **more):
    values = {
        "instance_id": instance_id,
        "model_name": "llama",
        "gpu_uuid": "GPU-a",
        "boot_id": "boot-1",
        "launch": Launch(template="plain"),
        "fence": a_fence(position),
    }
    return StartCommand(**(values | more))


def a_stop(position, **more):
    return StopCommand(fence=a_fence(position), **more)


def a_node(*started):
    state = State("node-1", "boot-1", gpus={u: Gpu(uuid=u, index=i) for i, u in enumerate(GPUS)})
    for command in started:
        state.begin(an_instance(command))
    return state


def an_instance(command):
    return Instance(
        instance_id=command.instance_id,
        model_name=command.model_name,
        gpu_uuid=command.gpu_uuid,
        boot_id=command.boot_id,
        template=command.launch.template,
        fence=command.fence,
        asked_at=NOON,
    )


def decided(state, command, offer=OFFER):
    """Decide twice, from the same state: deciding must neither change it nor waver."""
    before = deepcopy(state)
    verdict = on_start(state, command, offer, NOON)
    assert verdict == on_start(state, command, offer, NOON)
    assert state == before
    return verdict


def refused(verdict):
    assert isinstance(verdict, Refusal)
    return verdict.kind, verdict.code, verdict.at


def test_a_free_gpu_is_taken():
    assert isinstance(decided(a_node(), a_start()), Begin)


def test_a_start_seen_before_is_answered_even_when_it_has_expired():
    state = a_node(a_start())
    again = a_start(expires_at=NOON - timedelta(seconds=1))
    assert decided(state, again) == Known(state.instances["i-1"])


def test_a_held_gpu_names_its_holder():
    verdict = decided(a_node(a_start()), a_start("i-2", 2))
    assert refused(verdict) == ("conflict", "held", "gpu_uuid")
    assert verdict.numbers == {"holder": "i-1"}


def test_an_older_epoch_is_fenced_whatever_its_position():
    state = a_node(a_start(fence=a_fence(5, epoch=2)))
    state.move("i-1", "failed")
    assert refused(decided(state, a_start("i-2", 9)))[1] == "fenced"
    assert isinstance(decided(state, a_start("i-2", fence=a_fence(1, epoch=3))), Begin)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"boot_id": "boot-0"}, ("conflict", "other_boot", "boot_id")),
        ({"gpu_uuid": "GPU-z"}, ("refused", "unknown_gpu", "gpu_uuid")),
        (
            {"expires_at": NOON - timedelta(milliseconds=1)},
            ("conflict", "expired", "expires_at"),
        ),
        (
            {"launch": Launch(template="nope")},
            ("refused", "unknown_template", "launch.template"),
        ),
        (
            {"launch": Launch(template="plain", parameters={"x": 1})},
            ("refused", "bad_parameter", "launch.parameters.x"),
        ),
        ({"model_name": "--model"}, ("refused", "bad_model", "model_name")),
        (
            {"secret_files": (SecretFile(variable="PATH", content=""),)},
            ("refused", "bad_variable", "secret_files.0.variable"),
        ),
        (
            {"secret_files": (SecretFile(variable="lower", content=""),)},
            ("refused", "bad_variable", "secret_files.0.variable"),
        ),
    ],
)
def test_a_start_that_cannot_be_is_refused_with_its_field(change, expected):
    assert refused(decided(a_node(), a_start(**change))) == expected


def test_a_model_the_node_does_not_serve_is_refused():
    offer = Offer(OFFER.templates, frozenset({"mistral"}))
    assert refused(decided(a_node(), a_start(), offer))[1] == "unsupported_model"
    assert isinstance(decided(a_node(), a_start(model_name="mistral"), offer), Begin)


def test_a_command_is_good_until_its_last_moment():
    assert isinstance(decided(a_node(), a_start(expires_at=NOON)), Begin)


def test_a_good_secret_name_is_taken():
    secret = SecretFile(variable="QM_QUEUE_FILE", content="x")
    assert isinstance(decided(a_node(), a_start(secret_files=(secret,))), Begin)


def test_a_stop_ends_what_lives():
    state = a_node(a_start())
    assert on_stop(state, "i-1", a_stop(2), NOON) == End(state.instances["i-1"])


def test_a_stop_of_what_ended_or_never_was_is_confirmed_however_old_it_is():
    state = a_node(a_start("i-1", 5))
    state.move("i-1", "failed")
    assert on_stop(state, "i-1", a_stop(1), NOON) == Known(state.instances["i-1"])
    assert on_stop(state, "i-9", a_stop(1), NOON) == Known(None)


def test_a_stop_older_than_the_start_is_fenced():
    assert refused(on_stop(a_node(a_start("i-1", 5)), "i-1", a_stop(4), NOON))[1] == "fenced"


def test_an_expired_stop_of_a_live_worker_is_refused():
    late = a_stop(2, expires_at=NOON - timedelta(seconds=1))
    assert refused(on_stop(a_node(a_start()), "i-1", late, NOON))[1] == "expired"


def test_a_start_overtaken_by_its_stop_is_fenced_and_a_newer_one_is_not():
    state = a_node()
    state.see_stop("i-1", a_fence(5))
    state.see_stop("i-1", a_fence(4))
    assert refused(decided(state, a_start("i-1", 4)))[1] == "fenced"
    assert isinstance(decided(state, a_start("i-1", 6)), Begin)


def test_kills_of_an_older_leader_are_fenced_and_those_of_one_leader_may_overtake():
    state = a_node()
    state.kill_epoch = 2
    assert on_kill(state, KillCommand(fence=a_fence(1, epoch=2)), NOON) is None
    verdict = on_kill(state, KillCommand(fence=a_fence(9, epoch=1)), NOON)
    assert refused(verdict)[1] == "fenced"
    late = KillCommand(fence=a_fence(9, epoch=2), expires_at=NOON - timedelta(seconds=1))
    assert refused(on_kill(state, late, NOON))[1] == "expired"


fences = st.builds(a_fence, st.integers(0, 12), st.integers(0, 3))
names = st.sampled_from(["i-1", "i-2", "i-3", "i-4"])
starts = st.builds(
    lambda name, gpu, fence: a_start(name, gpu_uuid=gpu, fence=fence),
    names,
    st.sampled_from(GPUS),
    fences,
)
stops = st.tuples(names, st.builds(StopCommand, fence=fences))
deaths = st.tuples(st.just("dies"), names)
readies = st.tuples(st.just("ready"), names)


def obey(state, step):
    """Do what the handlers do with a command; return the fence that was accepted for a GPU."""
    if isinstance(step, StartCommand):
        if not isinstance(on_start(state, step, OFFER, NOON), Begin):
            return None
        state.begin(an_instance(step))
        return step.gpu_uuid, step.fence
    name, what = step
    if isinstance(what, StopCommand):
        verdict = on_stop(state, name, what, NOON)
        if isinstance(verdict, Refusal):
            return None
        state.see_stop(name, what.fence)
        if isinstance(verdict, Known):
            return None
        if verdict.instance.state != "stopping":
            state.move(name, "stopping")
        return verdict.instance.gpu_uuid, what.fence
    happens(state, *step)
    return None


def happens(state, what, name):
    instance = state.instances.get(name)
    if instance is None or not instance.live:
        return
    if what == "dies":
        state.move(name, "failed" if instance.state == "starting" else "exited")
    elif instance.state == "starting":
        state.move(name, "ready")


@for_all(st.lists(st.one_of(starts, stops, deaths, readies), max_size=40))
def test_a_gpu_never_has_two_holders_and_never_obeys_an_older_command(steps):
    state, seen, changes = a_node(), {}, 0
    for step in steps:
        accepted = obey(state, step)
        if accepted is not None:
            gpu, fence = accepted
            assert not older(fence, seen.get(gpu))
            seen[gpu] = fence
        for gpu in GPUS:
            holders = [i for i in state.instances.values() if i.live and i.gpu_uuid == gpu]
            assert len(holders) <= 1
            assert state.holder(gpu) == (holders[0] if holders else None)
            assert not older(state.fences.get(gpu, a_fence(0, 0)), seen.get(gpu))
        assert state.change >= changes
        changes = state.change


@for_all(st.lists(st.one_of(starts, stops, deaths, readies), max_size=40))
def test_what_is_kept_is_what_was_known(steps):
    state = a_node()
    for step in steps:
        obey(state, step)
    again = State("node-1", "boot-1", gpus=state.gpus)
    again.recall(type(kept := state.keep(NOON)).model_validate_json(kept.model_dump_json()))
    again.change = state.change
    assert again == state


@for_all(st.lists(st.one_of(starts, stops, deaths, readies), max_size=40))
def test_the_ended_stay_ended(steps):
    state, ended = a_node(), set()
    for step in steps:
        obey(state, step)
        ended |= {i.instance_id for i in state.instances.values() if i.state not in LIVE}
        assert all(state.instances[name].state not in LIVE for name in ended)
