"""Which start of the machine this is."""

from __future__ import annotations

from pathlib import Path

from services.chassis.errors import Unavailable

KERNEL = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the kernel's id of this boot; Unavailable where there is none (set QM_BOOT_ID)."""
    try:
        return KERNEL.read_text("ascii").strip()
    except OSError as error:
        raise Unavailable("this machine has no boot id: set QM_BOOT_ID") from error
