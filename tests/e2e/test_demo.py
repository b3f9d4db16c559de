"""The whole platform, every service its own process: nothing is lost when one of them is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.platform import ROOT

READY_WITHIN_S, DONE_WITHIN_S = 90.0, 150.0
ARGUMENTS = ("requests=80", "speed=200", "trace=generated")
VICTIMS = ("scheduler", "journal", "gpu-node-1")


@pytest.fixture
def state() -> Iterator[Path]:
    # Not pytest's own directory: the database's user must be able to enter it.
    place = Path("/var/tmp") / f"quartermaster-demo-{os.getpid()}"  # noqa: S108
    yield place
    subprocess.run(["rm", "-rf", str(place)], check=True)


def _environment(state: Path) -> dict[str, str]:
    return os.environ | {"QM_STATE": str(state), "PYTHONPATH": str(ROOT)}


def _started(state: Path, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.demo", *ARGUMENTS, f"report={state}/report.json"],
            cwd=ROOT,
            env=_environment(state),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for(words: str, output: Path, demo: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while words not in output.read_text():
        assert demo.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.1)


def _kill(state: Path, part: str) -> None:
    recorded = json.loads((state / "demo" / "parts" / f"{part}.json").read_text())
    os.kill(recorded["pid"], signal.SIGKILL)


def _left_of(state: Path) -> list[str]:
    """Return what still runs with the state's directory on its command line or in its marks."""
    left = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("QM_READY_FILE", "")]
        except psutil.Error:
            continue
        if any(str(state) in word for word in words):
            left.append(" ".join(process.cmdline()))
    return left


@pytest.mark.timeout(300)
def test_killed_services_cost_no_request_and_nothing_is_left_running(
    state: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    demo = _started(state, output)
    try:
        _wait_for("ready after", output, demo)
        for part in VICTIMS:
            _kill(state, part)
            time.sleep(1.0)  # the next one dies while this one recovers
        code = demo.wait(timeout=DONE_WITHIN_S)
    finally:
        demo.terminate()
        demo.wait(timeout=30)
    assert code == 0, output.read_text()
    _check(json.loads((state / "report.json").read_text()))
    assert _left_of(state) == []


def _check(report: dict[str, Any]) -> None:
    assert report["requests_published"] == report["requests_served"] == 80
    assert report["requests_lost"] == 0
    assert report["refused_bad_proposal"] == 1
    assert report["parked_others"] == 0
    assert report["log_verified"] is True
    assert report["models_floor_met"] == report["models"] == 6
    assert report["instances_started"] >= 6
    assert set(VICTIMS) <= set(report["restarts"])


@pytest.mark.timeout(120)
def test_told_to_stop_while_starting_it_leaves_nothing_behind(state: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    demo = _started(state, output)
    _wait_for("requests of generated", output, demo)
    time.sleep(3.0)  # engines and agents are being started: any moment must do
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=60) == 130
    assert _left_of(state) == []
