"""Starts and stops by hand: only the scheduler places them, and what was asked for is pinned."""

from typing import Any

import pytest

from contracts.events.gpu import GpuAllocated
from contracts.events.instance import (
    InstanceStartRefused,
    InstanceStartRequested,
    InstanceStopRequested,
)
from contracts.types import Launch
from tests import builders as b
from tests.unit.scheduler.stories import story

MODEL = b.a_model(
    min_instances=0, max_instances=2, launch=Launch(template="w", parameters={"a": 1, "b": 2})
)


def test_a_start_by_hand_is_placed_and_pinned() -> None:
    spec = story(MODEL, b.a_node(gpus=2), b.start_asked(gpu_index=1, config={"b": 3}))
    spec.when_deciding().then(GpuAllocated, InstanceStartRequested)
    start = spec.one(InstanceStartRequested)
    assert (start.gpu_index, start.pinned, start.ask_id) == (1, True, "a1")
    assert start.launch == Launch(template="w", parameters={"a": 1, "b": 3})
    assert start.reason.code == "asked_by_hand"
    assert spec.proposals[0][1].causation_id == spec.log.events[-1].event_id
    spec.when_recorded().when_deciding().then_nothing()


def test_without_an_index_any_free_gpu_of_the_node_will_do() -> None:
    spec = story(MODEL, b.a_node(gpus=2), b.an_instance("i-1"), b.start_asked())
    assert spec.when_deciding().one(InstanceStartRequested).gpu_index == 1


def test_two_asks_for_one_gpu_get_one_start_and_one_refusal() -> None:
    spec = story(MODEL, b.a_node(), b.start_asked("a1"), b.start_asked("a2")).when_deciding()
    assert spec.one(InstanceStartRequested).ask_id == "a1"
    assert spec.one(InstanceStartRefused).reason.code == "taken_before"
    spec.when_recorded().when_deciding().then_nothing()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model_id": "none"}, "no_such_model"),
        ({"node_id": "none"}, "no_such_node"),
        ({"node_id": "gone"}, "no_such_node"),
        ({"model_id": "full"}, "at_max_instances"),
        ({"node_id": "other"}, "model_not_supported"),
        ({"gpu_index": 7}, "no_such_gpu"),
        ({"gpu_index": 0}, "gpu_held"),
        ({"gpu_index": 2}, "gpu_foreign_process"),
        ({"node_id": "dark"}, "gpu_node_offline"),
    ],
)
def test_a_start_that_cannot_be_is_refused_with_the_reason(
    fields: dict[str, Any], code: str
) -> None:
    spec = story(MODEL, b.a_model("full", min_instances=0), b.a_node(gpus=3))
    spec.given(b.an_instance("i-1", "full"), b.a_report(gpus=3, foreign={2: 5}))
    spec.given(b.a_node("other", supported=("x",)), b.a_node("dark"), b.offline("dark"))
    spec.given(b.a_node("gone"), b.n.NodeDeleted(node_id="gone"), b.start_asked(**fields))
    refused = spec.when_deciding().one(InstanceStartRefused)
    assert refused.reason.code == code
    assert spec.proposals[0][0].stream == "ask/a1"
    spec.when_recorded().when_deciding().then_nothing()


def test_a_stop_by_hand_is_requested_even_of_a_pinned_instance() -> None:
    spec = story(MODEL, b.a_node(), b.an_instance(pinned=True), b.stop_asked())
    stop = spec.when_deciding().one(InstanceStopRequested)
    assert (stop.instance_id, stop.reason.code) == ("i-1", "asked_by_hand")
    assert spec.proposals[0][0].causation_id == spec.log.events[-1].event_id
    spec.when_recorded().given(b.stop_asked()).when_deciding().then_nothing()


def test_a_stop_asked_of_an_ended_instance_is_over() -> None:
    spec = story(MODEL, b.a_node(), b.an_instance(), b.stop_asked(), b.died())
    spec.when_deciding().then_no(InstanceStopRequested)


def test_a_pass_that_is_full_answers_the_rest_of_the_asks_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.scheduler.state.plan.MAX_STARTS", 1)
    asks = (b.start_asked("a1"), b.start_asked("a2"))
    spec = story(MODEL, b.a_node(gpus=2), *asks).when_deciding()
    assert spec.one(InstanceStartRequested).ask_id == "a1"
    spec.when_recorded().when_deciding()
    assert spec.one(InstanceStartRequested).ask_id == "a2"
