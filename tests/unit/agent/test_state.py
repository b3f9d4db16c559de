"""The agent's knowledge changes only as its table allows, and stays small."""

from __future__ import annotations

import pytest

from services.agent.state import ENDED_KEPT, TRANSITIONS
from tests.unit.agent.test_decide import a_fence, a_node, a_start, an_instance


@pytest.mark.parametrize("to", ["ready", "stopping", "exited", "failed", "starting"])
@pytest.mark.parametrize("path", [(), ("ready",), ("stopping",), ("failed",), ("ready", "exited")])
def test_only_ways_of_the_table_are_taken(path, to):
    state = a_node(a_start())
    for step in path:
        state.move("i-1", step)
    here = state.instances["i-1"].state
    if to in TRANSITIONS[here]:
        assert state.move("i-1", to).state == to
    else:
        with pytest.raises(ValueError, match=f"from {here} to {to}"):
            state.move("i-1", to)


def test_a_held_gpu_is_not_begun_on():
    state = a_node(a_start())
    with pytest.raises(ValueError, match="held by i-1"):
        state.begin(an_instance(a_start("i-2", 2)))


def test_every_change_is_counted():
    state = a_node(a_start())
    before = state.change
    state.note("i-1", pid=7)
    state.move("i-1", "ready")
    assert state.change == before + 2


def test_the_oldest_ended_are_forgotten_and_the_living_never():
    state = a_node(a_start("keeper", 1, gpu_uuid="GPU-b"))
    for number in range(ENDED_KEPT + 10):
        state.begin(an_instance(a_start(f"i-{number}", number + 2)))
        state.move(f"i-{number}", "failed")
        state.see_stop(f"unseen-{number}", a_fence(number))
    assert "keeper" in state.instances
    assert "i-0" not in state.instances
    assert len(state.instances) <= ENDED_KEPT + 2
    assert len(state.stopped_unseen) == ENDED_KEPT


def test_a_report_says_why_it_ended():
    state = a_node(a_start())
    state.move("i-1", "failed", error_code="exited", exit_code=7)
    report = state.instances["i-1"].report()
    assert (report.state, report.error_code, report.exit_code) == ("failed", "exited", 7)
