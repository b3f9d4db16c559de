"""Templates turn typed parameters into an argument list, and nothing else into anything."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import ValidationError

from services.agent.adapters.templates import load_templates
from services.agent.decide.launch import (
    BadParameterError,
    FileReady,
    HttpReady,
    Template,
    arguments,
    values_of,
)
from services.chassis.errors import Refused

GIVEN = {
    "port": 8001,
    "host": "127.0.0.1",
    "model": "llama",
    "gpu_index": 0,
    "gpu_uuid": "GPU-a",
    "instance_id": "i-1",
    "ready_file": "/ready",
    "python": "python3",
}


def a_template(parameters, *argv, **more):
    ready = more.pop("ready", FileReady(kind="file"))
    return Template.model_validate(
        {"name": "t", "argv": argv or ("run",), "parameters": parameters, "ready": ready, **more}
    )


def filled(template, **chosen):
    return arguments(template, values_of(template, chosen) | GIVEN)


def complaint(parameters, **chosen):
    with pytest.raises(BadParameterError) as caught:
        values_of(a_template(parameters), chosen)
    return caught.value.name, caught.value.problem


def test_placeholders_are_filled_whole_and_within():
    assert filled(a_template({"n": {"type": "integer"}}, "run", "{n}", "--p={port}"), n=3) == (
        "run",
        "3",
        "--p=8001",
    )


def test_optional_arguments_are_there_only_with_a_value():
    template = a_template(
        {"fast": {"type": "boolean", "default": False}, "q": {"type": "string", "optional": True}},
        "run",
        {"when": "fast", "argv": ["--fast"]},
        {"when": "q", "argv": ["--q", "{q}"]},
    )
    assert filled(template) == ("run",)
    assert filled(template, fast=True, q="fp8") == ("run", "--fast", "--q", "fp8")


def test_a_boolean_reads_as_programs_read_it():
    template = a_template({"b": {"type": "boolean"}}, "run", "--b={b}")
    assert filled(template, b=True) == ("run", "--b=true")


@pytest.mark.parametrize(
    ("spec", "value", "problem"),
    [
        ({"type": "integer"}, None, "is required"),
        ({"type": "integer"}, "3", "must be of type integer"),
        ({"type": "integer"}, True, "must be of type integer"),
        ({"type": "integer"}, 1.5, "must be of type integer"),
        ({"type": "boolean"}, 1, "must be of type boolean"),
        ({"type": "number", "max": 1}, 2, "must be at most 1"),
        ({"type": "number", "min": 0}, -0.5, "must be at least 0"),
        ({"type": "number"}, float("nan"), "must be finite"),
        ({"type": "number"}, float("inf"), "must be finite"),
        ({"type": "string", "max": 2}, "abc", "must be at most 2 characters long"),
        ({"type": "string", "pattern": "[a-z]+"}, "A", "must match [a-z]+"),
        ({"type": "string"}, "--trust-me", "must not begin with a hyphen"),
        ({"type": "string"}, "a\nb", "must not hold control characters"),
        ({"type": "string", "choices": ["a", "b"]}, "c", "must be one of a, b"),
    ],
)
def test_a_bad_value_names_its_parameter(spec, value, problem):
    assert complaint({"x": spec}, x=value) == ("x", problem)


def test_an_unknown_parameter_is_named():
    assert complaint({}, y=1) == ("y", "is not a parameter of template t")


@for_all(st.text(max_size=40))
def test_a_value_is_always_one_argument_and_never_an_option(text):
    template = a_template({"x": {"type": "string"}}, "run", "{x}")
    try:
        argv = filled(template, x=text)
    except BadParameterError:
        return
    assert argv == ("run", text)
    assert not argv[1].startswith("-")


@pytest.mark.parametrize(
    ("parameters", "argv", "more"),
    [
        ({}, ("{nobody}",), {}),
        ({"port": {"type": "integer"}}, ("run",), {}),
        ({}, ("run",), {"ready": HttpReady(kind="http", port_parameter="nobody")}),
        ({}, ("run", {"when": "nobody", "argv": []}), {}),
    ],
)
def test_a_template_that_does_not_add_up_is_refused(parameters, argv, more):
    with pytest.raises(ValidationError):
        a_template(parameters, *argv, **more)


def test_the_shipped_templates_fill():
    chosen = {"model_path": "/models/llama"}
    for template in load_templates().values():
        wanted = {k: v for k, v in chosen.items() if k in template.parameters}
        assert all(filled(template, **wanted))
    assert set(load_templates()) == {"vllm", "sglang", "llama_cpp", "queue_worker"}


def test_only_a_template_with_a_port_is_given_one():
    templates = load_templates()
    assert templates["vllm"].wants_port
    assert not templates["queue_worker"].wants_port


@pytest.mark.parametrize("text", ["- a", "x: {argv: [run]}", "x: 1", "{", "x: null"])
def test_a_bad_file_of_templates_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "more.yaml"
    path.write_text(text)
    with pytest.raises(Refused, match=str(path)):
        load_templates(path)


def test_an_operators_template_wins_by_its_name(tmp_path):
    path = tmp_path / "more.yaml"
    path.write_text("vllm: {argv: [mine], ready: {kind: line, text: up}}")
    assert load_templates(path)["vllm"].argv == ("mine",)
