"""The supervisor: what ends is started again at once, and all of it is stopped."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.processes import lives
from deploy.local.supervisor import LONGEST_BACK_OFF_S, Part, Supervisor, back_off, clear_leftovers

SLEEPS = ("-c", "import time; time.sleep(600)")
PARENT = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
child.wait()
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
time.sleep(600)
"""
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path, lambda _: None)
    yield made
    await made.stop()


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and lives(psutil.Process(pid))


async def test_a_killed_part_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start([Part("sleeper", SLEEPS, ENVIRONMENT)])
    await _until(lambda: supervisor.pid_of("sleeper"))
    first = supervisor.pid_of("sleeper") or 0
    os.kill(first, signal.SIGKILL)
    await _until(lambda: supervisor.pid_of("sleeper") not in {None, first})
    assert supervisor.restarts == {"sleeper": 1}


async def test_a_dropped_part_is_gone_and_may_be_started_with_other_settings(
    supervisor: Supervisor,
) -> None:
    supervisor.start([Part("sleeper", SLEEPS, ENVIRONMENT)])
    first = supervisor.pid_of("sleeper") or 0
    await supervisor.drop("sleeper")
    assert not _lives(first)
    assert supervisor.pid_of("sleeper") is None
    supervisor.start([Part("sleeper", SLEEPS, ENVIRONMENT)])
    assert supervisor.pid_of("sleeper") not in {None, first}
    assert not supervisor.restarts


async def test_stop_ends_a_part_and_what_it_started(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "parent.log"
    supervisor.start([Part("parent", ("-c", PARENT), ENVIRONMENT)])
    await _until(lambda: log.read_text().endswith("\n"))
    await supervisor.stop()
    assert not _lives(int(log.read_text()))


async def test_a_part_that_ignores_being_asked_is_killed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("deploy.local.supervisor.DRAIN_S", 0.2)
    supervisor.start([Part("deaf", ("-c", DEAF), ENVIRONMENT)])
    await _until(lambda: "on" in (tmp_path / "logs" / "deaf.log").read_text())
    pid = supervisor.pid_of("deaf") or 0
    await supervisor.stop()
    assert not _lives(pid)


async def test_what_a_killed_supervisor_left_is_found_and_ended(tmp_path: Path) -> None:
    before = Supervisor(tmp_path, lambda _: None)
    before.start([Part("left", SLEEPS, ENVIRONMENT)])
    pid = before.pid_of("left") or 0
    for task in before._watching.values():
        task.cancel()
    assert await clear_leftovers(tmp_path) == ["left"]
    assert not psutil.pid_exists(pid)  # nor is its body left


async def test_a_part_that_dies_just_before_the_stop_leaves_nothing(
    supervisor: Supervisor,
) -> None:
    supervisor.start([Part("sleeper", SLEEPS, ENVIRONMENT)])
    await _until(lambda: supervisor.pid_of("sleeper"))
    pid = supervisor.pid_of("sleeper") or 0
    os.kill(pid, signal.SIGKILL)
    while _lives(pid):  # without giving its watcher a turn
        pass
    await supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_the_log_of_the_start_before_is_kept_beside(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    (tmp_path / "logs" / "sleeper.log").write_text("the last run")
    supervisor.start([Part("sleeper", SLEEPS, ENVIRONMENT)])
    assert (tmp_path / "logs" / "sleeper.log.1").read_text() == "the last run"


def test_the_first_death_costs_no_pause_and_no_pause_is_long() -> None:
    assert [back_off(n) for n in (0, 1, 2, 3)] == [0.0, 0.0, 0.25, 0.5]
    assert back_off(50) == LONGEST_BACK_OFF_S
