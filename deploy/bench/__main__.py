"""`python -m deploy.bench NAME`: run one benchmark; its last line is one JSON object."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

BENCHMARKS = (
    "log",
    "react",
    "restart",
    "history",
    "rebuild",
    "backup",
    "http",
    "memory",
    "scale",
    "soak",
)


def main() -> int:
    """Run the benchmark named on the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:  # noqa: PLR2004
        print(f"usage: just bench NAME, one of: {' '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that engines end with it
    import_module(f"deploy.bench.{sys.argv[1]}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
