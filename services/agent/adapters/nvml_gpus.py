"""GPUs as NVIDIA's management library reports them."""

from __future__ import annotations

from importlib import import_module, util
from typing import Any

from contracts.types import Gpu, GpuUse
from services.chassis.errors import Unavailable

MIB = 1024 * 1024


class NvmlGpus:
    """The driver's GPUs; indices may change between boots, UUIDs do not.

    nvml: the module `pynvml`, initialised.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def use(self) -> tuple[GpuUse, ...]:
        """Return every GPU now; raises Unavailable when the driver does not answer."""
        try:
            count = self._nvml.nvmlDeviceGetCount()
            return tuple(self._read(index) for index in range(count))
        except self._nvml.NVMLError as error:
            raise Unavailable(f"the GPU driver does not answer: {error}") from error

    def visible(self, gpu: Gpu) -> str:
        """Return the UUID, which CUDA understands and no renumbering changes."""
        return gpu.uuid

    def _read(self, index: int) -> GpuUse:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        pids = {process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)}
        return GpuUse(
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            index=index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            memory_mb=memory.total // MIB,
            memory_used_mb=memory.used // MIB,
            utilization_percent=self._utilization(handle),
            foreign_pids=tuple(sorted(pids)),
        )

    def _utilization(self, handle: Any) -> float:
        """Return percent; 0 where the driver has no number for it, as on a split GPU."""
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except self._nvml.NVMLError_NotSupported:
            return 0.0


def nvml_gpus(_node_id: str, _virtual: int) -> NvmlGpus | None:
    """Return the driver's GPUs, or None on a machine without the library, a driver or a GPU."""
    if util.find_spec("pynvml") is None:
        return None
    nvml = import_module("pynvml")
    absent = (
        nvml.NVMLError_LibraryNotFound,
        nvml.NVMLError_DriverNotLoaded,
        nvml.NVMLError_NoPermission,
    )
    try:
        nvml.nvmlInit()
    except absent:
        return None
    return NvmlGpus(nvml) if nvml.nvmlDeviceGetCount() else None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
