"""What is said when somebody asks why: one sentence first, and what stands behind it."""

from __future__ import annotations

import pytest

from contracts.envelope import Event
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from services.scheduler.decide.explain import FEWEST_RUNS, MOST_RUNS, runs_for
from services.scheduler.decide.explain.clauses import CLAUSES
from services.scheduler.decide.explain.subject import Ambiguous, find
from services.scheduler.state import State
from services.scheduler.state.fork import fork, still
from services.scheduler.state.memory import KEPT
from tests import builders as b
from tests.spec import Spec
from tests.unit.scheduler.explaining import why, would
from tests.unit.scheduler.stories import sample, story

STARTS = i.InstanceStartRequested


def served(*events: object, busy: int = 0) -> Spec[State]:
    """A model llama that serves on the only GPU, and whatever else is told."""
    spec = story(b.a_model(), *b.a_node(), *events)  # type: ignore[arg-type]
    spec.when_deciding().when_recorded()
    spec.given(b.started(spec.one(STARTS).instance_id))
    return sample(spec, {"llama": busy})


def the_instance(spec: Spec[State]) -> str:
    (instance_id,) = spec.state.instances
    return instance_id


# Why it runs, and why it was started.


def test_an_instance_below_its_floor_says_that_it_had_to_be_there() -> None:
    spec = served()
    found = why(spec, "instance", the_instance(spec))
    assert found.status == "running"
    assert found.sentence == (
        "llama runs on GPU 0 of n1 because it must have at least 1 instance and had none."
    )
    assert [each.code for each in found.reasons] == ["below_floor", "started"]
    assert found.reasons[0].numbers["floor"] == 1
    assert found.reasons[0].position == 7
    assert found.reasons[0].recorded
    assert [each.type for each in found.history] == ["instance.started", "instance.start_requested"]


def test_a_busy_model_says_how_much_work_waited() -> None:
    spec = story(b.a_model(min_instances=0))
    sample(spec, {"llama": 20}).given(b.a_node()).when_deciding().when_recorded()
    found = why(spec, "instance", the_instance(spec))
    assert found.status == "starting"
    assert found.sentence == (
        "llama is starting on GPU 0 of n1 because its queue held 20 on average, 40 s of work"
        " (more than 30 s is busy), and it had no instance."
    )
    assert why(spec, "model", "llama").sentence == found.sentence
    assert why(spec, "model", "llama").status == "starting"


def test_what_was_started_by_hand_says_so() -> None:
    spec = story(b.a_model(min_instances=0), *b.a_node(), b.start_asked())
    spec.when_deciding().when_recorded().given(b.started(the_instance(spec)))
    found = why(spec, "instance", the_instance(spec))
    assert found.sentence == "llama runs on GPU 0 of n1 because somebody asked for it by hand."


def test_before_it_is_recorded_a_start_is_told_as_being_decided() -> None:
    spec = story(b.a_model(), *b.a_node())
    found = why(spec, "model", "llama")
    assert found.status == "starting"
    assert found.reasons[0].code == "about_to_start"
    assert found.sentence == (
        "llama is to start on GPU 0 of n1 at this moment because it must have at least 1 instance"
        " and had none."
    )
    assert found.counterfactuals == ()


# Why it does not run, and what would change it.


def test_a_model_without_a_gpu_says_what_is_on_the_gpus_and_how_many_more_it_takes() -> None:
    spec = served(busy=3).given(b.a_model("coder")).when_deciding().when_recorded()
    found = why(spec, "model", "coder")
    assert found.status == "waiting"
    assert found.sentence == (
        "coder has no instance because the only GPU that could serve it is in use, and no other model"
        " has an idle instance to spare."
    )
    assert found.reasons[1].sentence == "1 GPU that could serve it is in use: 1 by llama."
    assert found.reasons[1].numbers == {"gpus": 1, "llama": 1}
    assert found.rejected == {"held": 1}
    assert [each.sentence for each in found.alternatives] == [
        f"{the_instance(spec)} of llama: it was asked something 0 s ago (idle after 5 min)"
    ]
    one_more = would(found, "more_free_gpus")
    assert one_more.sentence == "If one more GPU that can serve it were free, coder would start."
    assert (one_more.change.today, one_more.change.needed) == (0, 1)


def test_the_queue_length_at_which_it_would_start_is_told_beside_todays() -> None:
    spec = served(*b.a_node("n2"), b.model_updated(max_instances=2), busy=11)
    found = why(spec, "model", "llama")
    assert found.status == "serving"
    assert found.sentence == (
        "llama has 1 instance and needs no more: 22 s of work is queued for its instance (more than 30 s"
        " is busy), and 1 instance is all it must have."
    )
    longer = would(found, "longer_queue")
    assert longer.sentence == (
        "If the queue of llama held 16 on average rather than 11, 32 s of work,"
        " llama would start on GPU 0 of n2."
    )
    assert (longer.change.today, longer.change.needed, longer.change.unit) == (11, 16, "messages")
    assert found.counterfactuals[0] == longer
    assert would(found, "min_instances").change.needed == 2


def test_the_most_instances_a_model_may_have_is_told_as_the_limit() -> None:
    spec = served(*b.a_node("n2"), busy=40)
    found = why(spec, "model", "llama")
    assert found.sentence == (
        "llama has 1 instance and gets no further one because it may have no more than 1, though"
        " 80 s of work is queued for its instance (more than 30 s is busy)."
    )
    assert would(found, "max_instances").sentence == (
        "If max_instances of llama were 2 rather than 1, llama would start on GPU 0 of n2."
    )


def test_an_offline_node_is_what_a_model_waits_for() -> None:
    spec = served().given(b.offline())
    found = why(spec, "model", "llama")
    assert found.status == "waiting"
    assert would(found, "node_online").sentence == (
        "If n1 were online, llama would have its instance there back."
    )
    assert would(found, "node_online").effect.code == "serves_again"
    assert found.sentence == (
        "llama has no instance within reach because n1 does not answer: what runs there may still"
        " be serving."
    )
    instance_id = the_instance(spec)
    node = why(spec.after(60), "node", "n1")
    assert node.sentence == "n1 has been offline for 60 s: it did not answer any more."
    assert node.reasons[1].sentence == "n1 went offline: it had not answered for 12 s."
    assert node.reasons[2].code == "instance_unreachable"
    instance = why(spec, "instance", instance_id)
    assert instance.status == "unreachable"
    assert instance.sentence == (
        "llama may still be serving on GPU 0 of n1, but n1 does not answer."
    )
    gpu = why(spec, "gpu", "n1:0")
    assert gpu.sentence == (
        f"GPU 0 of n1 is on an offline node; llama ({instance_id}) may still be serving there."
    )
    for each in (node, instance, gpu):
        assert would(each, "node_online").effect.code == "serves_again"


def test_a_node_whose_gpus_others_need_says_who_would_start_there() -> None:
    spec = story(b.a_model(), *b.a_node()).given(b.offline())
    spec.when_deciding().when_recorded()
    found = why(spec, "node", "n1")
    assert would(found, "node_online").sentence == (
        "If n1 were online, llama would start on GPU 0 of n1."
    )
    assert why(spec, "gpu", "n1:0").counterfactuals == found.counterfactuals


def test_a_model_no_node_supports_says_which_node_it_takes() -> None:
    spec = story(b.a_model(), *b.a_node(supported=("coder",)))
    found = why(spec, "model", "llama")
    assert found.sentence == "llama has no instance because no node supports it."
    assert would(found, "node_supports").sentence == (
        "If n1 supported llama, llama would start on GPU 0 of n1."
    )


def test_a_wait_after_failures_says_when_it_is_over() -> None:
    spec = story(b.a_model(), *b.a_node(gpus=2))
    for _ in range(2):
        spec.when_deciding().when_recorded()
        start = spec.one(STARTS)
        spec.given(b.start_failed(start.instance_id, gpu=start.gpu_index)).after(1)
        spec.when_deciding().when_recorded().after(10)
    spec.when_deciding()
    found = why(spec, "model", "llama")
    assert found.reasons[0].code == "backing_off"
    assert found.sentence.startswith(
        "llama has no instance because its last 2 attempts failed (the reason given: exited)"
    )
    soon = would(found, "time_passes")
    assert soon.change.needed is not None
    spec.after(float(soon.change.needed)).when_deciding()
    assert spec.of(STARTS)


def test_of_the_waits_after_failures_the_one_that_counts_is_told() -> None:
    spec = story(b.a_model(), *b.a_node())
    for wait_s in (11, 5):  # the node is waited for longer than the model
        spec.when_deciding().when_recorded()
        spec.given(b.start_failed(spec.one(STARTS).instance_id)).after(1)
        spec.when_deciding().when_recorded().after(wait_s)
    soon = would(why(spec, "model", "llama"), "time_passes")
    assert soon.change.needed == 14
    spec.after(13).when_deciding().then_no(STARTS)
    spec.after(1).when_deciding().one(STARTS)


def test_a_failure_that_was_made_good_is_not_told_as_the_last_attempt() -> None:
    spec = story(b.a_model(max_instances=3), *b.a_node(gpus=3), b.an_instance())
    spec.given(b.an_instance("i-2", gpu=1, ready=False), b.start_failed("i-2", gpu=1)).after(1)
    spec.when_deciding().when_recorded()
    assert "start_failed" in {each.code for each in why(spec, "model", "llama").reasons}
    spec.after(60).given(b.an_instance("i-3", gpu=2)).when_deciding()
    assert "start_failed" not in {each.code for each in why(spec, "model", "llama").reasons}


def test_a_strategy_that_is_off_is_what_a_model_waits_for() -> None:
    spec = story(b.a_strategy("rule", active=False), b.a_model(), *b.a_node())
    found = why(spec, "model", "llama")
    assert found.sentence == "llama has no instance because no strategy is active."
    assert would(found, "strategy_active").sentence == (
        "If the strategy rule were active, llama would start on GPU 0 of n1."
    )


def test_while_our_own_network_is_suspected_that_is_the_reason() -> None:
    spec = story(b.a_model(), *b.a_node(), b.silence_suspected())
    found = why(spec, "model", "llama")
    assert "our own network is under suspicion" in found.sentence
    assert would(found, "silence_over").effect.code == "starts"


@pytest.mark.parametrize(
    ("told", "code", "sentence"),
    [
        (
            [b.a_report(foreign={0: 7})],
            "gpu_clean",
            "If GPU 0 of n1 were reported clean, llama would start on GPU 0 of n1.",
        ),
        (
            [n.NodeUpdated(**b.a_registered_node(available_gpu_ids=()).model_dump())],
            "gpu_offered",
            "If GPU 0 of n1 were offered by its node's settings, llama would start on GPU 0 of n1.",
        ),
    ],
)
def test_what_stands_against_a_gpu_is_told_of_it_and_of_who_needs_it(
    told: list[Event], code: str, sentence: str
) -> None:
    spec = story(b.a_model(), *b.a_node(), *told)
    assert would(why(spec, "model", "llama"), code).sentence == sentence
    assert would(why(spec, "gpu", b.gpu_uuid("n1", 0)), code).sentence == sentence


def test_a_quarantined_gpu_says_what_runs_on_it() -> None:
    spec = story(b.a_model(), *b.a_node(), b.a_report(foreign={0: 7}), b.a_report(foreign={0: 7}))
    spec.when_deciding().when_recorded()
    found = why(spec, "gpu", b.gpu_uuid("n1", 0))
    assert found.status == "quarantined"
    assert found.sentence == "GPU 0 of n1 is in quarantine (process 7)."
    assert found.reasons[1].sentence == (
        "GPU 0 of n1 was put in quarantine because its node reports process 7 on it."
    )
    assert would(found, "gpu_clean").effect.model_id == "llama"


# Why it is replaced, stopped, moved; what would end it.


def replaced() -> Spec[State]:
    """Llama, which nobody asked anything, made room for a busy coder."""
    spec = served()
    spec.given(b.a_model("coder", min_instances=0))
    sample(spec, {"llama": 0, "coder": 20})
    return spec.when_deciding().when_recorded()


def test_a_replaced_instance_says_for_whom_and_why_it() -> None:
    spec = replaced()
    instance_id = the_instance(spec)
    found = why(spec, "instance", instance_id)
    assert found.status == "stopping"
    assert found.sentence == (
        "llama was stopped on GPU 0 of n1 because it was idle (asked nothing for 11 min; idle after"
        " 5 min) and coder, busy and without an instance, needed its GPU."
    )
    assert [each.code for each in found.reasons] == ["replaced", "below_floor", "started"]
    waits = why(spec, "model", "coder")
    assert waits.sentence == (
        f"coder has no instance because {instance_id} of llama is being stopped to make room"
        " for it."
    )
    spec.given(b.stopped(instance_id)).when_deciding().when_recorded()
    taker = why(spec, "model", "coder")
    assert taker.sentence == (
        f"coder is starting on GPU 0 of n1 because {instance_id} of llama was stopped to make"
        " room for it, and has ended."
    )
    assert "replaced" in [each.code for each in taker.history]


def test_what_would_end_an_instance_is_told_with_how_busy_another_must_be() -> None:
    spec = served(b.a_model("coder", min_instances=0))
    sample(spec, {"llama": 0, "coder": 1})
    found = why(spec, "instance", the_instance(spec))
    assert would(found, "longer_queue").sentence == (
        "If the queue of coder held 16 on average rather than 1, 32 s of work,"
        f" {the_instance(spec)} of llama would be stopped."
    )


def test_how_long_nobody_may_ask_anything_before_it_is_replaced_is_told() -> None:
    spec = served(b.a_model("coder", min_instances=0))
    sample(spec, {"llama": 1, "coder": 40})
    spec.when_deciding().when_recorded()
    found = why(spec, "instance", the_instance(spec))
    assert would(found, "quiet").change.needed == 300
    assert would(found, "quiet").sentence == (
        "If nobody had asked llama anything for 5 min rather than 0 s,"
        f" {the_instance(spec)} of llama would be stopped."
    )
    assert would(why(spec, "model", "coder"), "quiet").effect.code == "makes_room"


def test_an_instance_that_died_says_how_and_where_its_work_went() -> None:
    spec = served(*b.a_node("n2"))
    instance_id = the_instance(spec)
    spec.given(b.died(instance_id, because="rebooted")).when_deciding().when_recorded()
    later = [each for each in spec.log.events if each.type == "instance.start_requested"][-1]
    subject = find(spec.state, "instance", instance_id)
    assert subject is not None
    found = why(spec, "instance", instance_id)
    assert found.status == "died"
    assert found.sentence == "llama ended on GPU 0 of n1 because its node rebooted."
    assert later.position in spec.state.memory.of("model", "llama")


def test_above_the_maximum_the_newest_goes_and_says_so() -> None:
    spec = served(*b.a_node("n2"), b.model_updated(min_instances=2, max_instances=2))
    sample(spec, {"llama": 0}).when_deciding().when_recorded()
    second = list(spec.state.instances)[-1]
    spec.given(b.started(second, node_id="n2"))
    found = why(spec, "instance", second)
    lower = would(found, "max_instances")
    assert (lower.change.today, lower.change.needed) == (2, 1)
    spec.given(b.model_updated(max_instances=1)).when_deciding().when_recorded()
    assert why(spec, "instance", second).sentence == (
        "llama was stopped on GPU 0 of n2 because the model had 2 instances and may have no more"
        " than 1."
    )


def test_a_deleted_model_says_so() -> None:
    spec = served().given(m.ModelDeleted(model_id="llama"))
    found = why(spec, "model", "llama")
    assert (found.status, found.sentence) == ("deleted", "llama was deleted.")


# GPUs and nodes.


def test_a_free_gpu_says_who_comes_closest_to_needing_it() -> None:
    spec = served(*b.a_node("n2"), b.model_updated(max_instances=2), busy=3)
    found = why(spec, "gpu", "n2:0")
    assert found.status == "free"
    assert found.sentence == (
        "GPU 0 of n2 is free because nobody needs it: the most requested, llama, has 6 s of work"
        " queued (more than 30 s is busy)."
    )
    assert would(found, "longer_queue").change.needed == 16
    assert would(why(spec, "node", "n2"), "longer_queue").effect.node_id == "n2"


def test_a_gpu_in_use_says_by_what_and_what_would_end_that() -> None:
    spec = served(b.a_model("coder", min_instances=0))
    sample(spec, {"llama": 0, "coder": 1})
    found = why(spec, "gpu", "n1:0")
    assert found.status == "held"
    assert found.sentence == (
        f"GPU 0 of n1 is held by llama ({the_instance(spec)}) because it must have at least 1"
        " instance and had none."
    )
    assert would(found, "longer_queue").effect.instance_id == the_instance(spec)


def test_a_node_counts_what_its_gpus_do() -> None:
    spec = served().given(b.a_node("n2", gpus=2))
    assert why(spec, "node", "n2").sentence == "n2 is online and its 2 GPUs are free."
    assert why(spec, "node", "n1").sentence == "n1 is online and its only GPU is in use."


# What is asked about, and what it costs.


def test_things_are_found_by_name_and_a_name_that_two_have_is_refused() -> None:
    spec = story(b.a_model("m1", name="llama"), *b.a_node("n1"))
    assert find(spec.state, "model", "llama") == find(spec.state, "model", "m1")
    assert find(spec.state, "gpu", "n1:0") == find(spec.state, "gpu", b.gpu_uuid("n1", 0))
    for kind, unknown in (("model", "x"), ("node", "x"), ("gpu", "x"), ("gpu", "n1:9")):
        assert find(spec.state, kind, unknown) is None  # type: ignore[arg-type]
    spec.given(b.a_model("m2", name="llama"))
    with pytest.raises(Ambiguous, match="m1, m2"):
        find(spec.state, "model", "llama")


def test_only_the_latest_facts_are_told_and_where_to_ask_for_the_others() -> None:
    spec = story(b.a_model(), *(b.model_updated() for _ in range(3 * KEPT)))
    found = why(spec, "model", "llama")
    assert len(found.history) == KEPT
    assert found.earlier_before == 2 * KEPT + 1
    assert len(spec.state.memory.positions["model/llama"]) < 2 * KEPT


def test_the_larger_a_fleet_the_less_is_tried_for_one_question() -> None:
    spec = story(*(b.a_model(f"m{k}") for k in range(400)))
    assert runs_for(State()) == MOST_RUNS
    assert FEWEST_RUNS < runs_for(spec.state) < MOST_RUNS


def test_a_fork_shares_nothing_that_may_change() -> None:
    spec = served().given(b.a_model("coder"), b.a_node("n2", gpus=2))
    before = repr(spec.state)
    for copied in (fork(spec.state), still(spec.state)):
        for event in (
            b.offline(),
            b.model_updated(max_instances=5),
            b.an_inventory("n2", gpus=1),
            b.died(the_instance(spec)),
            b.silence_suspected(),
        ):
            copied.apply(b.Log(spec.log.now).record(event))
    assert repr(spec.state) == before
    copied = still(spec.state)
    told = repr(copied)
    sample(spec, {"llama": 7, "coder": 7})
    assert repr(copied) == told


def test_every_clause_reads_with_its_numbers_and_without() -> None:
    for *_, without in CLAUSES.values():
        assert without
        assert "{" not in without
