"""GPUs that are only declared: for a node without hardware, a demo, a test."""

from __future__ import annotations

from uuid import UUID, uuid5

from contracts.types import Gpu, GpuUse

NAMESPACE = UUID("5a8a7f3e-0c57-4f0e-9d2b-1b7c6f0f6d11")
MEMORY_MB = 81_920


class VirtualGpus:
    """So many GPUs whose UUIDs follow from the node's id, the same after every restart."""

    def __init__(self, node_id: str, count: int) -> None:
        self._gpus = tuple(
            GpuUse(
                uuid=f"VGPU-{uuid5(NAMESPACE, f'{node_id}/{index}')}",
                index=index,
                name="Virtual GPU",
                memory_mb=MEMORY_MB,
            )
            for index in range(count)
        )

    def use(self) -> tuple[GpuUse, ...]:
        """Return the GPUs; nothing computes on them that we do not know."""
        return self._gpus

    def visible(self, gpu: Gpu) -> str:
        """Return the index: no driver knows a virtual UUID."""
        return str(gpu.index)


def virtual_gpus(node_id: str, count: int) -> VirtualGpus | None:
    """Return declared GPUs, or None when none are declared."""
    return VirtualGpus(node_id, count) if count else None
