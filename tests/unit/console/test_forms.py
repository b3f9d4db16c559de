"""Forms: what is emptied is taken away, what cannot be sent is refused at its field."""

from __future__ import annotations

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.adapters.gateway import Answer
from services.console.decide import forms
from services.console.decide.actions import ACTIONS, flat
from tests.fake_gateway import FakeGateway, a_model, a_rule
from tests.unit.console.door import logged_in

PARAMETERS = ACTIONS["strategy.change"].fields
HALF = '{"a": "\\ud800"}'


def sent(code: str, held: dict, **changed: str):
    """What a form becomes that was shown with what a thing held, and then changed."""
    fields = ACTIONS[code].fields_for(held)
    shown = forms.filled(fields, flat(held), {}, {})
    form = {each.name: each.value for each in shown} | changed
    return forms.body(fields, form, flat(held))


@pytest.mark.parametrize(
    ("code", "held", "emptied", "taken_away"),
    [
        ("environment.change", {"name": "prod", "description": "old"}, "description", ""),
        ("node.change", {"name": "n", "agent_url": "http://a", "available_gpu_ids": [0, 1]},
         "available_gpu_ids", []),
        ("rule.change", a_rule(), "limits.calm_s", None),
    ],
)  # fmt: skip
def test_what_is_emptied_is_taken_away(code, held, emptied, taken_away):
    made, errors = sent(code, held, **{emptied: " "})
    *path, last = emptied.split(".")
    for each in path:
        made = made[each]
    assert (made[last], errors) == (taken_away, {})


@pytest.mark.parametrize(
    "needed",
    ["name", "rabbitmq_host", "rabbitmq_port", "rabbitmq_vhost", "average_inference_time",
     "min_instances"],
)  # fmt: skip
def test_what_a_thing_cannot_be_without_is_asked_for_when_it_is_emptied(needed):
    _, errors = sent("model.change", a_model(), **{needed: ""})
    assert errors == {needed: "this is needed"}


def test_what_was_empty_stays_as_it_is_and_a_password_is_never_taken_away():
    made, errors = sent("model.change", a_model(rabbitmq_password="odd"))
    assert errors == {}
    assert not {"description", "rabbitmq_password"} & made.keys()
    made, errors = sent("strategy.change", {"parameters": {}, "order": 0}, parameters="")
    assert (errors, "parameters" in made) == ({}, False)


async def test_an_emptied_field_is_sent_or_asked_for_and_never_only_said_to_be_changed():
    gateway = FakeGateway()
    gateway.says["/environments/env-1"] = {"id": "env-1", "name": "prod", "description": "old"}
    client = await logged_in(gateway)
    did = await client.post("/do/environment.change/env-1", data={"name": "a", "description": ""})
    assert "done=environment.change" in did.headers["location"]
    assert gateway.done[-1][2] == {"name": "a", "description": ""}
    asked = await client.post("/do/environment.change/env-1", data={"name": "", "description": ""})
    assert (asked.status_code, "this is needed" in asked.text, len(gateway.done)) == (422, True, 1)


@pytest.mark.parametrize(
    ("field", "typed", "why"),
    [
        ("order", "99999999999999999999", "too large"),
        ("order", "9" * 5000, "no whole number"),
        ("parameters", HALF, "half of a character"),
        ("parameters", '{"\\udfff": 1}', "half of a character"),
        ("parameters", '{"a": 99999999999999999999}', "too large"),
        ("parameters", '{"a": [NaN]}', "NaN"),
        ("parameters", '{"a": 1e999}', "Infinity"),
        ("parameters", '{"a":' * 5000, "too deeply"),
        ("parameters", '{"a":' * 50 + "1" + "}" * 50, "too deeply"),
        ("parameters", "[1]", "an object is wanted"),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_its_field(field, typed, why):
    gateway = FakeGateway()
    client = await logged_in(gateway)
    answer = await client.post("/do/strategy.change/str-1", data={field: typed})
    assert answer.status_code == 422, answer.text
    assert why in re.search(r'class="hint error" id="f-\d+-h">([^<]+)<', answer.text)[1]
    assert gateway.done == []


@pytest.mark.parametrize("typed", ["nan", "inf", "-1e999", "x"])
def test_a_decimal_is_a_number_that_there_is(typed):
    fields = ACTIONS["model.create"].fields
    _, errors = forms.body(fields, {"average_inference_time": typed})
    assert "no number" in errors["average_inference_time"]


@given(st.sampled_from(["order", "parameters", "description"]), st.text() | st.just(HALF))
def test_whatever_is_typed_is_refused_or_can_be_sent(name, typed):
    typed = typed.encode("utf-8", "replace").decode()  # as it comes out of a request
    made, errors = forms.body(PARAMETERS, {name: typed}, {name: {"x": 1}})
    assert orjson.dumps(made) or errors


async def test_a_key_that_no_header_can_hold_is_replaced():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    form = {"idempotency_key": "schl\N{LATIN SMALL LETTER U WITH DIAERESIS}ssel"}
    await client.post("/do/strategy.activate/str-1", data=form)
    assert re.fullmatch(r"[!-~]+", gateway.done[0][3])


async def test_hints_and_errors_are_told_of_at_every_kind_of_field():
    gateway = FakeGateway()
    names = ("role", "permissions", "name", "expires_in_days")
    gateway.answers = [Answer(422, errors=dict.fromkeys(names, "wrong"))]
    client = await logged_in(gateway)
    form = {"name": "ci", "role": "viewer", "expires_in_days": "7"}
    text = (await client.post("/do/key.create/new", data=form)).text
    for tag in (r'<select name="role"', r'<select name="expires', r'<input name="name"'):
        told = re.search(tag + r'[^>]* aria-invalid="true" aria-describedby="([^"]+)"', text)[1]
        assert f'<p class="hint error" id="{told}">wrong<' in text
    group = re.search(r'<fieldset aria-describedby="([^"]+)">', text)[1]
    assert f'<p class="hint error" id="{group}">wrong<' in text
    assert re.search(r'name="permissions\.read"[^>]* aria-invalid="true"', text)
    typed = {"name": "s", "parameters": "[]"}
    text = (await client.post("/do/strategy.create/new", data=typed)).text
    assert re.search(r'<textarea [^>]*aria-invalid="true" aria-describedby="f-5-h"', text)


async def test_a_choice_of_nothing_says_at_the_field_that_there_is_none():
    gateway = FakeGateway()
    gateway.says["/environments"] = []
    client = await logged_in(gateway)
    text = (await client.get("/do/node.create/new")).text
    told = re.search(r'<select name="environment_id"[^>]* aria-describedby="([^"]+)"', text)[1]
    assert f'id="{told}">There is none yet' in text


def test_a_node_is_registered_where_agents_listen_unless_they_are_told_otherwise():
    from services.agent.settings import Settings

    (agent,) = [each for each in ACTIONS["node.create"].fields if each.name == "agent_url"]
    assert agent.help.endswith(f":{Settings.model_fields['agent_port'].default}")
