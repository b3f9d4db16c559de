"""What earlier releases wrote is understood today, and what is written today would be by them."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from contracts import catalogue
from contracts.catalogue import CATALOGUE
from contracts.compat import breaks
from services.chassis.migrations import DIRECTORY
from services.scheduler.decide import decide
from tests.releases.kept import MIGRATIONS_OF_FIRST, RELEASES, log_of, schemas_of

FOLDING = ("scheduler", "deployer", "node_monitor", "queue_sampler", "alerter", "gateway")
CONTRACTS = Path(__file__).parents[2] / "contracts"


def folded(service: str, release: str) -> Any:
    state = import_module(f"services.{service}.state").State()
    for event in log_of(release):
        if event.type in type(state).TYPES:
            state.apply(event)
    return state


@pytest.mark.parametrize("release", RELEASES)
def test_every_event_of_an_earlier_release_is_read_as_what_it_was(release: str) -> None:
    for event in log_of(release):
        read = catalogue.read(event)
        assert read.type == event.type
        written = {name: value for name, value in event.data.items() if value is not None}
        assert written.items() <= read.model_dump(mode="json").items(), event.position


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("service", FOLDING)
def test_every_service_of_today_folds_the_log_of_an_earlier_release(
    service: str, release: str
) -> None:
    assert folded(service, release) is not None


@pytest.mark.parametrize("release", RELEASES)
def test_the_scheduler_goes_on_where_an_earlier_release_left_off(release: str) -> None:
    state = folded("scheduler", release)
    ready = [each for each in state.instances.values() if each.phase == "ready"]
    assert {each.model_id for each in ready} == set(state.models)
    last = log_of(release)[-1]
    soon = last.recorded_at + timedelta(seconds=1)
    assert decide(state, soon, 7) == decide(folded("scheduler", release), soon, 7)


@pytest.mark.parametrize("release", RELEASES)
def test_no_promise_of_an_earlier_release_is_broken(release: str) -> None:
    for name, promised in schemas_of(release).items():
        today = json.loads((CONTRACTS / "schemas" / name).read_text())
        assert not breaks(promised, today), name


@pytest.mark.parametrize("release", RELEASES)
def test_readers_of_an_earlier_release_accept_what_is_written_today(release: str) -> None:
    promised = schemas_of(release)
    checked = 0
    for entry in CATALOGUE.values():
        name = f"{entry.event.type}.v{entry.event.schema_version}.json"
        if name in promised:
            sample = json.loads((CONTRACTS / "samples" / name).read_text())
            jsonschema_rs.validate(promised[name], sample)
            checked += 1
    assert checked > 40
    for event in log_of(RELEASES[0]) + log_of(RELEASES[-1]):
        name = f"{event.type}.v{event.schema_version}.json"
        if name in promised:
            jsonschema_rs.validate(promised[name], dict(event.data))


def test_a_migration_that_was_released_never_changes() -> None:
    found = {
        name: hashlib.sha256((DIRECTORY / name).read_bytes()).hexdigest()
        for name in MIGRATIONS_OF_FIRST
    }
    assert found == MIGRATIONS_OF_FIRST
