"""Processes we started: recorded on disk, recognised beyond doubt, stopped by id.

A process is ours when three things agree with what was recorded at its start: its id, the time it
was created, and a word on its command line. A recycled id can match one of them, never all.
"""

import atexit
import json
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.local.places import User, replace_file

KILLED_WITHIN_S = 5.0
CLOCK_STEP_S = 2.0  # a corrected system clock moves every create time by as much

_children: dict[int, subprocess.Popen[bytes]] = {}  # keeps them from being collected, so reaped
_outliving: set[int] = set()


@dataclass(frozen=True)
class Recorded:
    """What is kept about a process that we started."""

    pid: int
    created: float
    word: str
    boot: str


def spawn(
    command: Sequence[str],
    *,
    word: str,
    record: Path,
    log: Path,
    env: Mapping[str, str],
    user: User | None = None,
    outlives: bool = False,
) -> Recorded:
    """Start a process in a session of its own and record it before anything else can happen.

    word: occurs on its command line and on no other process's. outlives: it is shared, and whoever
    uses it last stops it, be it after our own end.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=dict(env),
            start_new_session=True,
            **(user.as_arguments() if user else {}),
        )
    _children[process.pid] = process
    if outlives:
        _outliving.add(process.pid)
    recorded = Recorded(process.pid, psutil.Process(process.pid).create_time(), word, _boot())
    replace_file(record, json.dumps(asdict(recorded)))
    return recorded


def recall(record: Path) -> Recorded | None:
    """Return what an earlier start recorded, or None; half a file counts as none."""
    try:
        return Recorded(**json.loads(record.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def find(recorded: Recorded | None) -> psutil.Process | None:
    """Return the recorded process if it still lives, None if it is gone or its id was recycled."""
    if recorded is None or recorded.boot != _boot():
        return None
    try:
        process = psutil.Process(recorded.pid)
        ours = (
            abs(process.create_time() - recorded.created) < CLOCK_STEP_S
            and process.status() != psutil.STATUS_ZOMBIE
            and _says(process, recorded.word)
        )
    except psutil.NoSuchProcess:
        return None
    return process if ours else None


def stop(record: Path, *, with_signal: signal.Signals, grace_s: float) -> None:
    """End a recorded process and all below it: first asked, then killed; forget the record."""
    _end(recall(record), with_signal, grace_s)
    record.unlink(missing_ok=True)


def kill(record: Path) -> None:
    """Kill a recorded process as a crash would, and wait until what was below it is gone too.

    The record stays, as it does after a crash.
    """
    _end(recall(record), signal.SIGKILL, KILLED_WITHIN_S)


def kill_orphans_in(directory: Path) -> None:
    """Kill what still works in a directory of ours after the process that led it has died."""
    orphans = [
        process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(directory)
    ]
    _send(orphans, signal.SIGKILL)
    _left_after(KILLED_WITHIN_S, orphans)


def reap(pid: int) -> int | None:
    """Let the kernel forget a child of ours that has ended; return its exit code, negative: signal.

    None when it still runs or is nobody's child of ours.
    """
    child = _children.get(pid)
    if child is None or child.poll() is None:
        return None
    return _children.pop(pid).returncode


@atexit.register
def _let_go() -> None:
    """Leave what is to outlive us to the init process; anything else still there is a fault."""
    for pid in _outliving & _children.keys():
        child = _children.pop(pid)
        if child.poll() is None:
            child.returncode = 0  # as if waited for: init does that from here on


def exited(recorded: Recorded) -> bool:
    """Tell whether a process that we started has ended."""
    return find(recorded) is None


def lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that only waits for its parent to notice does not.

    The first thread of a dying process may be gone while others still hold its files and ports.
    """
    try:
        if not process.is_running():
            return False
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def occurs(pid: int, word: str) -> bool:
    """Tell whether a process of this id lives and has the word on its command line."""
    try:
        return any(word in part for part in psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return False


def last_words(log: Path) -> str:
    """Return the end of a log, for the error that its process caused."""
    return log.read_text(errors="replace")[-1_000:].strip()


def _end(recorded: Recorded | None, with_signal: signal.Signals, grace_s: float) -> None:
    process = find(recorded)
    if process is not None:
        tree = [process, *_below(process)]
        _send([process], with_signal)
        left = _left_after(grace_s, tree)
        _send(left, signal.SIGKILL)
        _left_after(KILLED_WITHIN_S, left)
    if recorded is not None and find(recorded) is None:
        _wait_for(recorded.pid)


def _says(process: psutil.Process, word: str) -> bool:
    """Tell whether a command line has the word; it is empty for a moment while a program starts."""
    words = process.cmdline()
    return not words or any(word in part for part in words)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(processes: Iterable[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(what)  # psutil refuses when the id was recycled
        except psutil.NoSuchProcess:
            continue


def _left_after(seconds: float, processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Wait until the processes have ended, and return those that have not in time."""
    until = time.monotonic() + seconds
    left = [process for process in processes if lives(process)]
    while left and time.monotonic() < until:
        time.sleep(0.01)
        left = [process for process in left if lives(process)]
    return left


def _wait_for(pid: int) -> None:
    """Take note of the end of a child, which has been seen to end."""
    child = _children.pop(pid, None)
    if child is not None:
        child.wait(timeout=KILLED_WITHIN_S)


def _boot() -> str:
    """Name this boot and this container: ids mean nothing outside of them."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    name = boot.read_text().strip() if boot.exists() else "unknown"
    return f"{name} {namespace.readlink()}" if namespace.exists() else name
