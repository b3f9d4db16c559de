"""Engines for a benchmark: fresh, its own, and gone when it is over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import engines
from deploy.local.engines import Engines

ROOT = Path(__file__).parents[2]


@contextmanager
def fresh_engines() -> Iterator[Engines]:
    """Start both engines on an empty state, migrate, and take everything away afterwards."""
    state = Path(tempfile.mkdtemp(prefix="qm-bench-"))
    state.chmod(0o711)
    try:
        running = engines.start(state, {})
        migrate(running.owner_url())
        yield running
    finally:
        engines.stop(state, immediately=True)
        shutil.rmtree(state, ignore_errors=True)


def migrate(owner_url: str) -> None:
    """Run the migrations."""
    command = [sys.executable, "-m", "services.chassis.migrations"]
    subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "QM_OWNER_DATABASE_URL": owner_url},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def service(name: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run one service in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services", name],
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": "ERROR", **environment},
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
