"""What the API says becomes what a page shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.decide import actions, forms
from services.console.decide.decisions import calm_rows, decision_rows
from services.console.decide.explained import explained
from services.console.decide.fleet import colours, fleet
from services.console.decide.places import page_of, page_of_stream
from services.console.decide.queues import model_rows
from services.console.decide.reasons import sentence
from services.console.decide.searching import hits
from services.console.decide.spark import HEIGHT, WIDTH, spark
from services.console.decide.spoken import ago, duration, memory, number
from services.console.decide.when import When, timebar
from tests.fake_gateway import EXPLANATION, NOON, REASON, a_decision, a_gpu, a_model, an_instance


def a_node(*gpus, **other):
    return {"node_id": "nod-1", "name": "gpu-1", "status": "online", "gpus": gpus, **other}


@pytest.mark.parametrize(
    ("gpu", "node", "does"),
    [
        ({"state": "free"}, {}, "free"),
        ({"state": "free", "permitted": False}, {}, "withheld"),
        ({"state": "allocated", "instance": an_instance(state="requested")}, {}, "starting"),
        ({"state": "allocated", "instance": an_instance()}, {}, "serving"),
        ({"state": "allocated", "instance": an_instance(state="stopping")}, {}, "stopping"),
        ({"state": "quarantined"}, {}, "quarantined"),
        ({"state": "free"}, {"status": "offline"}, "offline"),
    ],
)
def test_every_gpu_is_a_cell_that_says_what_it_does(gpu, node, does):
    (row,) = fleet([a_node(a_gpu(**gpu), **node)], {"mdl-1": 4}, NOON).nodes
    (cell,) = row.cells
    assert cell.does == does
    assert "GPU 0 of gpu-1" in cell.said
    assert (cell.colour == 4) == (does in {"serving", "starting", "stopping"})


def test_a_model_keeps_its_colour_when_others_are_registered_after_it():
    before = colours([a_model("mdl-1"), a_model("mdl-2")])
    assert colours([a_model("mdl-3"), a_model("mdl-2"), a_model("mdl-1")]) | before == colours(
        [a_model("mdl-1"), a_model("mdl-2"), a_model("mdl-3")]
    )


def test_the_bar_of_shares_is_as_long_as_the_fleet():
    gpus = [
        a_gpu(n, state="allocated" if n < 3 else "free", instance=an_instance())
        for n in (0, 1, 2, 3)
    ]
    found = fleet([a_node(*gpus)], {}, NOON)
    assert (found.busy, found.total) == (3, 4)
    assert sum(each.width for each in found.shares) == pytest.approx(100)


def test_a_wait_is_what_is_queued_shared_by_those_who_serve():
    queue = {"model_id": "mdl-1", "mean_length_5m": 9.0, "length": 12, "reachable": True}
    model = a_model(instances={"ready": 3}, average_inference_time=2.0)
    (row,) = model_rows([model], [queue], {}, {}, (NOON, NOON))
    assert (row.wait_s, row.length, row.state) == (6.0, "12", "good")


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({"floor_unmet": {"reason": {"code": "no_free_gpu"}}}, "bad"),
        ({"deferred": {"reason": {"code": "no_free_gpu"}}}, "warn"),
        ({"deferred": {"reason": {"code": "no_longer_wanted"}}}, "good"),
        ({"instances": {"requested": 1}}, "busy"),
        ({"instances": {}}, "quiet"),
    ],
)
def test_a_model_below_its_floor_is_worse_than_one_that_wants_more(other, state):
    (row,) = model_rows([a_model(**other)], [], {}, {}, (NOON, NOON))
    assert row.state == state


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1e9)), max_size=50))
def test_a_picture_never_leaves_its_box(samples):
    drawn = spark(samples, 0.0, 1000.0)
    if drawn:
        points = [tuple(map(float, each.split(","))) for each in drawn.line[1:].split("L")]
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_a_reason_is_told_with_its_numbers_and_one_without_words_by_its_code():
    assert sentence(REASON) == "42 s of work is queued for each instance (busy is over 30 s)"
    assert sentence({"code": "no_gpu_left"}) == "no GPU left"
    assert sentence({"code": "below_floor"}) == "it has ? of the ? it must have"
    assert sentence(None) == ""


def test_a_decision_says_what_lost_and_why():
    (row,) = decision_rows([a_decision()], {"mdl-1": "llama"}, {"mdl-1": 2}, NOON)
    assert (row.what, row.model, row.colour, row.ago) == ("Start", "llama", 2, "2 min ago")
    assert row.lost == [("instance/i-9", "it was asked for something 4 s ago")]
    assert row.rejected == [("held", 3)]


def test_a_model_that_wavers_is_told_once_until_something_happens_to_it():
    waits = [a_decision(n, type="model.deferred", stream="model-floor/mdl-1") for n in (9, 8, 6, 5)]
    start = a_decision(7)
    told = [*waits[:2], start, *waits[2:]]
    rows = calm_rows(told, {}, {}, NOON, most=3)
    assert [(each.position, each.times) for each in rows] == [(9, 2), (7, 1), (6, 2)]
    assert len(calm_rows(told, {}, {}, NOON, most=1)) == 1


def test_an_explanation_shows_the_one_number_that_would_change_it():
    found = explained(EXPLANATION, NOON)
    (change,) = found.changes
    assert (change.field, change.today, change.needed) == ("free GPUs", "0", "1")
    assert found.lost == [("i-9", "i-9 is busy.", "/instances/i-9")]


def test_a_view_keeps_its_time_in_every_link_and_nothing_that_is_usual():
    assert When().query() == ""
    assert When("400", "1h").query(model="a b") == "?as_of=400&range=1h&model=a+b"
    assert When("400", "1h").query(as_of=None) == "?range=1h"
    assert When.of({"range": "a year"}).range == "15m"


def test_the_slider_reaches_from_the_stretch_to_the_newest():
    live = timebar(When(), 500, NOON, 300, None)
    past = timebar(When("400"), 500, NOON, 300, (400, NOON, "kept"))
    assert (live.first, live.position, live.head, live.is_past) == (300, 500, 500, False)
    assert (past.first, past.position, past.head, past.is_past) == (300, 400, 500, True)


def test_numbers_are_said_without_digits_that_tell_nothing():
    assert [duration(s) for s in (0, 0.25, 0.9999, 3.5, 90, 7500, 200_000)] == [
        "0 s", "250 ms", "1.0 s", "3.5 s", "90 s", "2 h 5 min", "2 d 7 h",
    ]  # fmt: skip
    assert (number(1234), number(0.8333), number(None)) == ("1,234", "0.833", "—")
    assert (memory(81920), memory(512)) == ("80 GiB", "512 MiB")
    assert ago("2026-05-04T11:58:00Z", NOON) == "2 min ago"


def test_ids_that_hold_anything_stay_in_their_path():
    assert page_of("alert", "a/b?c#d") == "/alerts/a%2Fb%3Fc%23d"
    assert page_of_stream("model-floor/mdl-1") == "/models/mdl-1"
    assert page_of_stream("lease/scheduler") is None


def test_a_search_finds_names_before_what_merely_holds_the_word():
    things = {"model": [{"id": "mdl-2", "name": "big llama"}, {"id": "mdl-1", "name": "llama"}]}
    assert [each.name for each in hits("llama", things)] == ["llama", "big llama"]
    assert hits("400", things)[0].page == "/?as_of=400"
    assert hits("nothing of this", things) == []


def test_a_form_becomes_json_and_says_what_is_wrong_by_field():
    fields = actions.ACTIONS["model.create"].fields
    made, errors = forms.body(fields, {
        "name": "llama", "environment_id": "env-1", "rabbitmq_host": "h", "rabbitmq_port": "x",
        "rabbitmq_queue_name": "q", "rabbitmq_username": "u", "average_inference_time": "2.5",
        "launch.template": "vllm", "launch.parameters": '{"a": 1}', "rabbitmq_password": "",
    })  # fmt: skip
    assert errors == {"rabbitmq_port": "x is no whole number"}
    assert made["launch"] == {"template": "vllm", "parameters": {"a": 1}}
    assert (made["average_inference_time"], "rabbitmq_password" in made) == (2.5, False)


def test_what_the_api_says_of_a_part_stands_at_its_field():
    fields = actions.ACTIONS["strategy.change"].fields
    shown = forms.filled(
        fields, {"parameters": {"idle_s": 3}}, {}, {"parameters.idle_s": "too short"}
    )
    assert [each.error for each in shown if each.error] == ["too short"]


def test_buttons_are_those_that_somebody_may_press_and_none_in_the_past():
    codes = ["node.start", "node.drain"]
    assert [a.code for a in actions.offered(codes, ("read", "operate"), is_past=False)] == [
        "node.start"
    ]
    assert actions.offered(codes, None, is_past=True) == []
    assert len(actions.offered(codes, None, is_past=False)) == 2
