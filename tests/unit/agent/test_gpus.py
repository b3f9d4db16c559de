"""GPUs as declared, and as the driver reports them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from services.agent.adapters.gpus import find_gpus
from services.agent.adapters.nvml_gpus import NvmlGpus, nvml_gpus
from services.agent.adapters.virtual_gpus import virtual_gpus
from services.chassis.errors import Unavailable


class FakeNvml:
    """The part of pynvml that is used, over two cards."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801
        pass

    def __init__(self):
        self.broken = self.split = False

    def nvmlDeviceGetCount(self):  # noqa: N802
        if self.broken:
            raise self.NVMLError("GPU is lost")
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return b"NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(total=140 * 1024**3, used=2 * 1024**3)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in (9, 7, 9)] if handle else []

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802
        if self.split:
            raise self.NVMLError_NotSupported
        return SimpleNamespace(gpu=42)


def test_virtual_uuids_follow_from_the_node_and_no_two_nodes_share_one():
    here, there = virtual_gpus("node-1", 3), virtual_gpus("node-2", 3)
    assert here is not None
    assert there is not None
    assert here.use() == virtual_gpus("node-1", 3).use()
    assert len({gpu.uuid for gpu in (*here.use(), *there.use())}) == 6
    assert [here.visible(gpu) for gpu in here.use()] == ["0", "1", "2"]


def test_declared_gpus_come_before_the_drivers():
    assert len(find_gpus("node-1", 4).use()) == 4


def test_the_driver_is_read():
    gpus = NvmlGpus(FakeNvml())
    first, second = gpus.use()
    assert (first.uuid, first.index, first.name) == ("GPU-0", 0, "NVIDIA H200")
    assert (first.memory_mb, first.memory_used_mb) == (140 * 1024, 2048)
    assert (first.utilization_percent, second.foreign_pids) == (42.0, (7, 9))
    assert gpus.visible(second) == "GPU-1"


def test_a_split_gpu_has_no_utilisation_and_is_read_all_the_same():
    nvml = FakeNvml()
    nvml.split = True
    assert NvmlGpus(nvml).use()[0].utilization_percent == 0.0


def test_a_driver_that_fails_is_unavailable():
    nvml = FakeNvml()
    nvml.broken = True
    with pytest.raises(Unavailable, match="GPU is lost"):
        NvmlGpus(nvml).use()


def test_a_machine_without_the_library_has_no_gpus(monkeypatch):
    monkeypatch.setattr("services.agent.adapters.nvml_gpus.util.find_spec", lambda _: None)
    assert nvml_gpus("node-1", 0) is None
    assert find_gpus("node-1", 0).use() == ()
