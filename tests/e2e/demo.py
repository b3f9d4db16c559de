"""The demo as a process of its own, as people start it: to kill, and to look at what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from deploy.local.platform import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_WITHIN_S = 90.0
READY = "ready after"


class Demo:
    """One run of the demo in a state directory."""

    def __init__(self, state: Path, output: Path, *arguments: str) -> None:
        self._state, self._output = state, output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.demo", *arguments, f"report={state}/report.json"],
                cwd=ROOT,
                env=os.environ | {"QM_STATE": str(state), "PYTHONPATH": str(ROOT)},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything it said."""
        return self._output.read_text()

    @property
    def report(self) -> dict[str, Any]:
        """What it wrote at its end."""
        return dict(json.loads((self._state / "report.json").read_text()))

    def wait_for(self, words: str) -> None:
        """Return once it has said so."""
        until = time.monotonic() + READY_WITHIN_S
        try:
            while words not in self.said:
                assert self.process.poll() is None, self.said
                assert time.monotonic() < until, self.said
                time.sleep(0.1)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self, part: str) -> None:
        """Kill one of its parts as a crash would."""
        recorded = json.loads((self._state / "demo" / "parts" / f"{part}.json").read_text())
        os.kill(recorded["pid"], signal.SIGKILL)

    def end(self, within_s: float) -> int:
        """Return its exit code; it is told to stop when it takes longer than that."""
        try:
            return self.process.wait(within_s)
        finally:
            self.process.terminate()
            self.process.wait(timeout=30)


@contextmanager
def a_state() -> Iterator[Path]:
    """Return a directory for state, removed afterwards with all that still runs in it.

    Not pytest's own directory: the database's user must be able to enter it.
    """
    place = Path("/var/tmp") / f"quartermaster-demo-{os.getpid()}"  # noqa: S108
    try:
        yield place
    finally:
        for process in running_in(place):
            process.kill()
        shutil.rmtree(place, ignore_errors=True)


def running_in(state: Path) -> list[psutil.Process]:
    """Return what runs with the state's directory on its command line or in its marks."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("QM_READY_FILE", "")]
        except psutil.Error:
            continue
        if any(str(state) in word for word in words):
            found.append(process)
    return found
