"""`python -m services NAME`: run one service in this process."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

SERVICES = (
    "agent",
    "alerter",
    "console",
    "deployer",
    "gateway",
    "journal",
    "node_monitor",
    "projector",
    "query",
    "queue_sampler",
    "scheduler",
    "vault",
)


def main() -> int:
    """Start the service named on the command line and return its exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in SERVICES:  # noqa: PLR2004
        sys.stderr.write(f"usage: python -m services NAME, one of: {' '.join(SERVICES)}\n")
        return 2
    gc.disable()  # until all is imported, and frozen: a sixth of the gateway's start was collecting
    return int(import_module(f"services.{sys.argv[1]}.service").start())


if __name__ == "__main__":
    sys.exit(main())
