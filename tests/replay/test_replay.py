"""What was recorded is made into what it was made into then, however it is read."""

import os
import subprocess
import sys
from functools import lru_cache

import pytest

from services.chassis.frozen import Freezer
from services.scheduler.state import State
from tests.replay import expected, history
from tests.replay.told import NAMES, RebuildLog, decisions, read_models

HISTORIES = history.names()
HELP = "python -m tests.replay check"


@lru_cache
def decided_in(name):
    return decisions(history.read(name))


def other(name, found):
    """Return what is neither as it was nor as it was declared, of the parts that were found."""
    return [str(each) for each in expected.differences(name, found) if each.part in found]


def thawed(state: State) -> State:
    """Return a state as a scheduler that starts again from its snapshot has it."""
    freezer, other = Freezer("scheduler", state), State()
    for _ in freezer.thaw(list(freezer.freeze(state)), other):
        pass
    return other


def test_there_are_histories_of_a_real_run_and_of_a_simulated_one():
    assert any(name.startswith("demo-") for name in HISTORIES)
    assert any(name.startswith("simulated-") for name in HISTORIES)


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_is_small_whole_and_tells_no_secret_host_or_path(name):
    assert history.private(history.plain(name)) == []
    assert (history.HOME / f"{name}{history.SUFFIX}").stat().st_size < history.MAX_BYTES
    assert expected.sha256(history.plain(name)).hexdigest() == expected.stored(name)["history"]


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_a_history_makes_the_read_models_it_made_however_it_is_cut(name, batch):
    found = await read_models(history.read(name), batch=batch)
    assert list(found) == list(NAMES)
    assert not other(name, found), HELP


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_history_makes_the_same_read_models_rebuilt_or_in_many_lives(name):
    events = history.read(name)
    assert not other(name, await read_models(events, batch=1000, log=RebuildLog))
    assert not other(name, await read_models(events, batch=20, log=RebuildLog, stops=9))


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_leads_to_the_decisions_it_led_to(name):
    decided = decided_in(name)
    first = expected.first_other_pass(name, decided.said)
    assert not other(name, expected.hashes(decided)), f"first at position {first}: {HELP}"
    assert decided.passes >= decided.proposals > 0


@pytest.mark.parametrize("name", HISTORIES)
def test_a_scheduler_that_starts_from_snapshots_decides_the_same(name):
    assert decisions(history.read(name), thawed=thawed) == decided_in(name)


def test_the_hash_seed_of_a_process_changes_nothing():
    for seed in ("1", "4242"):
        subprocess.run(
            [sys.executable, "-m", "tests.replay", "check", HISTORIES[0]],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        )
