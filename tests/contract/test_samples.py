"""Every payload ever kept still reads, and a newer writer's fields survive an older reader."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.catalogue import CATALOGUE, UnknownType, read
from contracts.envelope import MAX_DATA_BYTES, Recorded
from contracts.upcast import UPCASTERS, upcast

SAMPLES = Path(__file__).parents[2] / "contracts" / "samples"
KEPT = sorted(SAMPLES.glob("*.json"))


def recorded(type_, version, data):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return Recorded(1, "e", "s/1", 1, type_, version, data, now)


def of(path):
    type_, _, version = path.name.removesuffix(".json").rpartition(".v")
    return recorded(type_, int(version), json.loads(path.read_text()))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_every_sample_ever_kept_is_read_and_comes_back_as_it_was(path):
    sample = of(path)
    event = read(sample)
    assert event.type == sample.type
    if event.schema_version == sample.schema_version:
        assert event.model_dump(mode="json", exclude_unset=True) == sample.data


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_unknown_fields_of_a_newer_writer_are_kept(path):
    sample = of(path)
    newer = recorded(
        sample.type, sample.schema_version, {**_with_new_fields(sample.data), "new": {"a": [1]}}
    )
    assert read(newer).model_dump(mode="json", exclude_unset=True) == newer.data


def _with_new_fields(value):
    """Return a payload with a field more in each of its parts that are no free dictionaries."""
    if isinstance(value, dict) and ("uuid" in value or "secret_id" in value):
        return {**value, "of_tomorrow": 1}
    if isinstance(value, dict):
        return {key: _with_new_fields(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_new_fields(inner) for inner in value]
    return value


def test_every_event_of_the_catalogue_has_a_sample():
    wanted = {f"{type_}.v{version}.json" for type_, version in CATALOGUE}
    assert wanted <= {path.name for path in KEPT}


def test_a_sample_is_far_smaller_than_what_may_be_recorded():
    assert max(path.stat().st_size for path in KEPT) < MAX_DATA_BYTES / 10


def test_every_old_version_leads_to_one_that_is_read_today():
    for path in KEPT:
        sample = of(path)
        version, _ = upcast(sample.type, sample.schema_version, sample.data)
        assert (sample.type, version) in CATALOGUE


def test_an_old_payload_is_lifted_one_version_at_a_time_and_never_changed():
    lifts = {
        ("a.b", 1): lambda old: {**old, "two": 2},
        ("a.b", 2): lambda old: {**old, "three": old["two"] + 1},
    }
    old = {"one": 1}
    assert upcast("a.b", 1, old, lifts) == (3, {"one": 1, "two": 2, "three": 3})
    assert upcast("a.b", 3, old, lifts) == (3, old)
    assert old == {"one": 1}


def test_no_upcaster_lifts_what_is_today_s():
    newest = {}
    for type_, version in CATALOGUE:
        newest[type_] = max(version, newest.get(type_, 0))
    assert not [key for key in UPCASTERS if key[1] >= newest.get(key[0], 0)]


def test_what_is_not_in_the_catalogue_is_not_read():
    with pytest.raises(UnknownType):
        read(recorded("nobody.said", 1, {}))
