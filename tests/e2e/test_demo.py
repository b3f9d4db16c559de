"""The whole platform, every service its own process: nothing is lost when one of them is killed."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.demo import READY, Demo, a_state, running_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DONE_WITHIN_S = 150.0
ARGUMENTS = ("requests=80", "speed=200", "trace=generated")
VICTIMS = ("scheduler", "journal", "gpu-node-1")


@pytest.fixture
def state() -> Iterator[Path]:
    with a_state() as place:
        yield place


@pytest.mark.timeout(300)
def test_a_killed_demo_is_cleaned_up_and_killed_services_cost_the_next_no_request(
    state: Path, tmp_path: Path
) -> None:
    killed = Demo(state, tmp_path / "killed", *ARGUMENTS)
    killed.wait_for(READY)
    killed.process.kill()
    killed.process.wait()
    left = running_in(state)
    assert left, "a killed demo takes nothing with it: its processes are what is cleaned up"
    demo = Demo(state, tmp_path / "output", *ARGUMENTS)
    demo.wait_for(READY)
    assert not any(process.is_running() for process in left)
    for part in VICTIMS:
        demo.kill(part)
        time.sleep(1.0)  # the next one dies while this one recovers
    assert demo.end(DONE_WITHIN_S) == 0, demo.said
    _check(demo.report, 80)
    assert demo.report["restarts"] == dict.fromkeys(VICTIMS, 1), demo.said
    assert running_in(state) == []


@pytest.mark.timeout(120)
def test_told_to_stop_while_starting_it_leaves_nothing_behind(state: Path, tmp_path: Path) -> None:
    demo = Demo(state, tmp_path / "output", *ARGUMENTS)
    demo.wait_for("requests of generated")
    time.sleep(3.0)  # engines and agents are being started: any moment must do
    demo.process.send_signal(signal.SIGINT)
    assert demo.end(60) == 130
    assert running_in(state) == []


def _check(report: dict[str, Any], requests: int) -> None:
    assert report["requests_published"] == report["requests_served"] == requests
    assert report["requests_lost"] == 0
    assert report["refused_bad_proposal"] == 1
    assert report["parked_others"] == 0
    assert report["log_verified"] is True
    assert report["models_floor_met"] == report["models"] == 6
    assert report["instances_started"] >= 6
