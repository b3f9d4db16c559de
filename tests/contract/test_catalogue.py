"""What holds for every event: names, versions, who may say it, and that no secret is in it."""

import re
from typing import get_args

import pytest
from pydantic import BaseModel, SecretStr

from contracts.catalogue import CATALOGUE, LEADERS, TELEMETRY_TYPES, entry_of
from contracts.envelope import Event
from contracts.types import SecretRef

ENTRIES = list(CATALOGUE.values())
SECRETIVE = re.compile(r"passw|token|secret|credential|api_?key|private", re.IGNORECASE)
ids = [entry.event.type for entry in ENTRIES]


def parts(annotation):
    """Every type an annotation is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def fields(model, seen=None):
    """Every field of a model and of the models inside: (model, name, annotation)."""
    seen = seen if seen is not None else set()
    if model in seen:
        return
    seen.add(model)
    for name, about in model.model_fields.items():
        yield model, name, about.annotation
        for part in parts(about.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields(part, seen)


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_no_event_can_hold_a_secret(entry):
    for model, name, annotation in fields(entry.event):
        kinds = set(parts(annotation))
        assert SecretStr not in kinds, f"{model.__name__}.{name}"
        if SECRETIVE.search(name) and model is not SecretRef and name != "secret_id":
            assert SecretRef in kinds, f"{model.__name__}.{name} is named like a secret"


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_a_type_is_subject_and_past_tense_and_its_class_is_named_so(entry):
    type_ = entry.event.type
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", type_)
    assert entry.event.__name__ == type_.replace(".", "_").title().replace("_", "")


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_an_event_is_described_in_its_first_line(entry):
    first = (entry.event.__doc__ or "").strip().splitlines()[0]
    assert first.endswith((".", ")"))


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_an_event_is_frozen_and_keeps_what_it_does_not_know(entry):
    assert entry.event.model_config["frozen"]
    assert entry.event.model_config["extra"] == "allow"


def test_no_event_is_left_out_of_the_catalogue():
    left_out = [
        event.__name__
        for event in subclasses(Event)
        if event.__module__.startswith("contracts.events")
        and "type" in vars(event)
        and (event.type, event.schema_version) not in CATALOGUE
    ]
    assert left_out == []


def subclasses(model):
    for one in model.__subclasses__():
        yield one
        yield from subclasses(one)


def test_who_decides_carries_its_lease_and_telemetry_carries_none():
    for entry in ENTRIES:
        if entry.lease:
            assert entry.lease in LEADERS
            assert entry.by == {entry.lease}
        if entry.event.type in TELEMETRY_TYPES:
            assert entry.lease is None


def test_versions_of_a_type_are_without_a_hole():
    for type_, version in CATALOGUE:
        for older in range(1, version):
            assert entry_of(type_, older)
