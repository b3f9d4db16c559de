"""Worker processes: started without a shell, found again by the kernel's word, and ended whole."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.agent.state import Worker
from services.chassis.clock import Clock
from services.chassis.errors import Refused

POLL_S = 0.25
RESET = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells our workers' environment from others': this node, and files below this folder."""

    node_id: str
    root: Path

    def environment(self, instance_id: str, ready_file: Path) -> dict[str, str]:
        """Return the variables that mark a worker and its children."""
        return {
            "QM_NODE_ID": self.node_id,
            "QM_INSTANCE_ID": instance_id,
            "QM_READY_FILE": str(ready_file),
        }

    def instance_of(self, environment: Mapping[str, str]) -> str | None:
        """Return whose environment it is, or None when it is not one of ours."""
        ready_file = environment.get("QM_READY_FILE", "")
        ours = environment.get("QM_NODE_ID") == self.node_id
        if not ours or not Path(ready_file).is_relative_to(self.root):
            return None
        return environment.get("QM_INSTANCE_ID")


class Processes:
    """The operating system's processes; what reads all of them should be called in a thread."""

    def __init__(self, mark: Mark, clock: Clock) -> None:
        self._mark, self._clock = mark, clock

    def spawn(
        self, instance_id: str, argv: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Worker:
        """Start a worker in a session of its own; OSError when there is no such program.

        Not asyncio's subprocess: that one kills its child when the agent's loop is closed.
        """
        marks = self._mark.environment(instance_id, log.parent / "ready")
        pid = os.posix_spawnp(
            argv[0],
            list(argv),
            {**environment, **marks},
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=RESET,
        )
        return Worker(instance_id, pid, _born(pid) or 0.0)

    def find(self, worker: Worker) -> Worker | None:
        """Return a worker that still runs, by pid, creation time and marks, or by marks alone."""
        for process in _everything():
            if self._owner(process) == worker.instance_id and _leads(process.pid):
                born = _born(process.pid)
                if born is None or (worker.pid == process.pid and born != worker.born):
                    continue
                return Worker(worker.instance_id, process.pid, born)
        return None

    def tree(self, worker: Worker) -> list[int]:
        """Return the pids of what lives of a worker."""
        return [process.pid for process in self._tree(worker)]

    def _tree(self, worker: Worker) -> list[psutil.Process]:
        """Return what lives of a worker: its session, and whatever carries its marks."""
        reused = worker.pid == 0 or not self._still(worker)
        found = []
        for process in _everything():
            if process.pid == os.getpid() or not _alive(process):
                continue
            in_session = not reused and _session(process.pid) == worker.pid
            if in_session or self._owner(process) == worker.instance_id:
                found.append(process)
        return found

    def owners(self) -> dict[int, str]:
        """Return {pid: instance_id} of every live process that carries our marks."""
        pairs = ((p.pid, self._owner(p)) for p in _everything() if _alive(p))
        return {pid: owner for pid, owner in pairs if owner is not None}

    def signal(self, worker: Worker, number: signal.Signals) -> int:
        """Send a signal to all that lives of a worker; return to how many."""
        tree = self._tree(worker)
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return len(tree)

    def kill(self, pid: int) -> bool:
        """Kill one process; False when it is not there, Refused when we may not."""
        try:
            process = psutil.Process(pid)
            if not _alive(process):
                return False
            process.kill()
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied as error:
            raise Refused(f"process {pid} is another user's", code="not_permitted") from error
        return True

    def alive(self, pid: int) -> bool:
        """Return whether a process runs; a dead one that nobody has reaped does not."""
        try:
            return _alive(psutil.Process(pid))
        except psutil.NoSuchProcess:
            return False

    async def gone(self, worker: Worker) -> int | None:
        """Return once the worker's first process is dead: its exit code if it was our child."""
        try:
            descriptor = os.pidfd_open(worker.pid)
        except ProcessLookupError:
            return None
        except AttributeError:  # not Linux
            return await self._polled(worker)
        try:
            if _alive_since(worker):
                await _readable(descriptor)
        finally:
            os.close(descriptor)
        return _reap(worker.pid)

    async def _polled(self, worker: Worker) -> int | None:
        while _alive_since(worker):
            await self._clock.sleep(POLL_S)
        return _reap(worker.pid)

    def _owner(self, process: psutil.Process) -> str | None:
        try:
            return self._mark.instance_of(process.environ())
        except (psutil.Error, OSError):
            return None  # gone, or another user's: not one of ours

    def _still(self, worker: Worker) -> bool:
        """Return whether the pid still names the worker's session: its leader, or nobody."""
        born = _born(worker.pid)
        return born is None or born == worker.born


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _once, seen)
    try:
        await seen
    finally:
        loop.remove_reader(descriptor)


def _once(seen: asyncio.Future[None]) -> None:
    if not seen.done():
        seen.set_result(None)


def _reap(pid: int) -> int | None:
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if reaped else None


def _everything() -> Iterator[psutil.Process]:
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)


def _born(pid: int) -> float | None:
    """Return a process's start in seconds since boot, which no change of the clock moves.

    Source: field 22 of /proc/PID/stat (proc_pid_stat(5)); the name before it may hold anything.
    """
    try:
        if psutil.LINUX:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return psutil.Process(pid).create_time()
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _alive_since(worker: Worker) -> bool:
    born = _born(worker.pid)
    if born is None or born != worker.born:
        return False
    with suppress(psutil.NoSuchProcess):
        return _alive(psutil.Process(worker.pid))
    return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _leads(pid: int) -> bool:
    return _session(pid) == pid
