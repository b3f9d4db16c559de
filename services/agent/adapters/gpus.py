"""Where GPUs are found: one line per kind of source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from contracts.types import Gpu, GpuUse
from services.agent.adapters.nvml_gpus import nvml_gpus
from services.agent.adapters.virtual_gpus import virtual_gpus


class GpuSource(Protocol):
    """Calls may take long: make them in a thread."""

    def use(self) -> tuple[GpuUse, ...]:
        """Return every GPU now; `foreign_pids` are all processes that compute on it."""

    def visible(self, gpu: Gpu) -> str:
        """Return what CUDA_VISIBLE_DEVICES must be for a worker on this GPU."""


# Asked in this order; the first that has GPUs is used.
SOURCES: tuple[Callable[[str, int], GpuSource | None], ...] = (virtual_gpus, nvml_gpus)


def find_gpus(node_id: str, virtual: int) -> GpuSource:
    """Return the node's GPUs: declared virtual ones, else the driver's, else none at all."""
    found = (source for make in SOURCES if (source := make(node_id, virtual)) is not None)
    return next(found, None) or _NoGpus()


class _NoGpus:
    """A machine without GPUs."""

    def use(self) -> tuple[GpuUse, ...]:
        return ()

    def visible(self, gpu: Gpu) -> str:
        return str(gpu.index)
