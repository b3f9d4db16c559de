"""How people are told: numbers in words, one cause said once, and what nobody does said, too."""

from __future__ import annotations

import pytest

from contracts.events import instance as i
from contracts.types import Alternative, Reason
from services.scheduler.decide.explain.clauses import because, clause
from services.scheduler.decide.explain.words import Counted, Names, listed, ruled_out, seconds
from services.scheduler.state import State
from tests import builders as b
from tests.spec import Spec
from tests.unit.scheduler.explaining import why, would
from tests.unit.scheduler.stories import sample, story

NAMES = Names(State())
STARTS = i.InstanceStartRequested


@pytest.mark.parametrize(
    ("spec", "none", "one", "two"),
    [
        ("{:instance}", "0 instances", "1 instance", "2 instances"),
        ("{:-attempt}", "0 attempts", "attempt", "2 attempts"),
        ("{:none}", "none", "1", "2"),
        ("{:each}", "each of its 0 instances", "its instance", "each of its 2 instances"),
        (
            "{:needed}",
            "it need not have any",
            "1 instance is all it must have",
            "2 instances are all it must have",
        ),
        ("{}", "0", "1", "2"),
    ],
)
def test_a_number_is_said_in_words_that_fit_it(spec: str, none: str, one: str, two: str) -> None:
    assert [spec.format(Counted(n)) for n in range(3)] == [none, one, two]


def test_what_is_no_number_is_said_as_it_is() -> None:
    assert f"{Counted('unknown'):instance}" == "unknown"


def test_durations_are_short() -> None:
    told = [seconds(value) for value in (0, 0.0466, 0.5, 22.04, 300, 9000)]
    assert told == ["0 s", "47 ms", "0.5 s", "22 s", "5 min", "2.5 h"]


def test_one_cause_is_said_of_all_gpus_and_several_are_counted() -> None:
    assert ruled_out({"held": 1}) == "the only GPU that could serve it is in use"
    assert ruled_out({"held": 2}) == "both GPUs that could serve it are in use"
    assert ruled_out({"quarantined": 8}) == "all 8 GPUs that could serve it are in quarantine"
    assert ruled_out({"held": 2, "quarantined": 1}) == (
        "none of the 3 GPUs that could serve it is free: 2 are in use, 1 is in quarantine"
    )


def test_lists_read_as_people_say_them() -> None:
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def no_gpu(wait_s: float, *losers: str, instances: int = 0, floor: int = 1) -> str:
    numbers = {
        "wait_s": wait_s,
        "busy_threshold_s": 30.0,
        "instances": instances,
        "floor": floor,
    }
    lost = tuple(Alternative(subject="instance/i", code=code) for code in losers)
    reason = Reason(code="no_free_gpu", numbers=numbers, rejected={"held": 1}, alternatives=lost)
    return because(reason, NAMES).removeprefix("the only GPU that could serve it is in use, and ")


def test_beside_no_gpu_it_is_said_why_nobody_makes_room() -> None:
    assert no_gpu(40.0) == "no other model has an instance that may be stopped for it"
    assert no_gpu(20.0) == "no other model has an idle instance to spare"
    assert no_gpu(40.0, instances=2) == "nobody is stopped for a further instance"
    assert no_gpu(40.0, "fleet_silence_suspected") == (
        "nobody is stopped while our own network is under suspicion"
    )
    older = Reason(code="no_free_gpu", rejected={"held": 1})
    assert because(older, NAMES) == "the only GPU that could serve it is in use"
    dirty = Reason(code="no_free_gpu", rejected={"quarantined": 1})
    assert because(dirty, NAMES) == "the only GPU that could serve it is in quarantine"


def test_a_code_nobody_knows_stands_for_itself() -> None:
    assert clause("moon_is_full", {}, NAMES) == "moon is full"


def served(*events: object, busy: int = 0) -> Spec[State]:
    spec = story(b.a_model(), *b.a_node(), *events)  # type: ignore[arg-type]
    spec.when_deciding().when_recorded()
    spec.given(b.started(spec.one(STARTS).instance_id))
    return sample(spec, {"llama": busy})


def test_a_process_that_was_killed_is_told_by_its_signal_and_what_came_next_by_its_id() -> None:
    spec = served()
    (instance_id,) = spec.state.instances
    killed = b.died(instance_id).model_copy(update={"exit_code": -9})
    spec.given(killed).when_deciding().when_recorded().after(60)
    found = why(spec, "instance", instance_id)
    assert found.sentence == (
        "llama ended on GPU 0 of n1 because its process was killed (signal 9)."
    )
    spec.given(b.sampled("llama", 0)).when_deciding().when_recorded()
    model = why(spec, "model", "llama")
    assert [each.code for each in model.reasons][:2] == ["below_floor", "start_failed"]
    assert model.reasons[0].recorded
    assert model.counterfactuals == ()


def test_of_two_models_that_wait_the_later_is_told_who_comes_before_it() -> None:
    spec = served(busy=3).given(b.a_model("coder"), b.a_model("writer"))
    spec.when_deciding().when_recorded()
    more = would(why(spec, "model", "writer"), "more_free_gpus")
    assert more.change.needed == 2
    assert more.sentence == (
        "If 2 more GPUs that can serve it were free (before it, coder gets one), writer would"
        " start."
    )


def test_of_a_queue_that_was_never_sampled_nothing_is_said_to_be_known() -> None:
    spec = story(b.a_model(min_instances=0), *b.a_node())
    found = why(spec, "model", "llama")
    assert (found.status, found.reasons[0].code) == ("not_needed", "nothing_known")
    assert found.sentence == (
        "llama has no instance and needs none: its queue has not been sampled lately, and it need"
        " not have any."
    )
    assert would(found, "longer_queue").change.today is None
    sample(spec, {"llama": 3})
    assert why(spec, "model", "llama").sentence == (
        "llama has no instance and needs none: 6 s of work is queued (more than 30 s is busy), and"
        " it need not have any."
    )


def test_an_instance_out_of_reach_is_told_with_what_else_keeps_the_model_waiting() -> None:
    spec = served(*b.a_node("n2", available=())).given(b.offline())
    assert why(spec, "model", "llama").sentence == (
        "llama has no instance within reach because n1 does not answer, and no other one because"
        " no GPU of the nodes that support it is offered by their settings."
    )
