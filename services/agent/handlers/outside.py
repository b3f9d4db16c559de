"""What the handlers need of the outside; the adapters have these shapes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.http.agent import SecretFile
from contracts.types import Gpu, GpuUse
from services.agent.state import Kept, Readiness, Worker
from services.chassis.clock import Clock


class Gpus(Protocol):
    """The node's GPUs; calls may block."""

    def use(self) -> tuple[GpuUse, ...]:
        """Return every GPU now; `foreign_pids` are all processes that compute on it."""

    def visible(self, gpu: Gpu) -> str:
        """Return what CUDA_VISIBLE_DEVICES must be for a worker on this GPU."""


class Processes(Protocol):
    """The operating system's processes; all but `gone` may block."""

    def spawn(
        self, instance_id: str, argv: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Worker:
        """Start a worker; OSError when there is no such program."""

    def find(self, worker: Worker) -> Worker | None:
        """Return a worker that still runs."""

    def tree(self, worker: Worker) -> list[int]:
        """Return the pids of what lives of a worker."""

    def owners(self) -> dict[int, str]:
        """Return {pid: instance_id} of every live process of ours."""

    def signal(self, worker: Worker, number: signal.Signals) -> int:
        """Send a signal to all that lives of a worker; return to how many."""

    def kill(self, pid: int) -> bool:
        """Kill one process; False when it is not there, Refused when we may not."""

    def alive(self, pid: int) -> bool:
        """Return whether a process runs."""

    async def gone(self, worker: Worker) -> int | None:
        """Return once the worker's first process is dead: its exit code if it was our child."""


class Store(Protocol):
    """The agent's memory on disk; calls block."""

    def load(self) -> Kept | None:
        """Return what was kept, or None the first time."""

    def save(self, kept: Kept) -> None:
        """Return when it is on the disk; Unavailable when the disk will not have it."""


class Folders(Protocol):
    """A folder for each worker; calls block."""

    def log(self, instance_id: str) -> Path:
        """Return where a worker's output goes."""

    def ready_file(self, instance_id: str) -> Path:
        """Return the file a worker makes when it is ready."""

    def prepare(self, instance_id: str, secrets: Iterable[SecretFile]) -> dict[str, str]:
        """Make the folder and write the secrets; return {variable: path} for the worker."""

    def forget_secrets(self, instance_id: str) -> None:
        """Remove a dead worker's secrets."""

    def keep_only(self, known: Collection[str]) -> None:
        """Remove the folders of instances that are no longer known."""


class Logs(Protocol):
    """The workers' output; calls block."""

    def end(self, instance_id: str, size: int) -> str:
        """Return at most the last `size` bytes, as text."""

    def last_lines(self, instance_id: str, lines: int) -> tuple[str, int]:
        """Return the last lines, and the offset behind them."""

    def read_on(self, instance_id: str, offset: int) -> tuple[bytes, int]:
        """Return what came after `offset`, a chunk at most, and the new offset."""

    def rotate(self, instance_id: str) -> bool:
        """Move the log aside when it is over its bound; return whether it was."""


class Log(Protocol):
    """A structured log."""

    def info(self, event: str, **values: object) -> object:
        """Write a line."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything the handlers touch."""

    gpus: Gpus
    processes: Processes
    store: Store
    folders: Folders
    logs: Logs
    is_ready: Callable[[Readiness, Path, Path], bool]
    free_port: Callable[[str, Collection[int]], int]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator set: where workers listen, what they inherit, how long we wait for control.

    worker_host: what workers bind. advertise_host: what others reach them by.
    """

    worker_host: str
    advertise_host: str
    environment: Mapping[str, str]
    contact_lease_s: float
    python: str
    version: str
