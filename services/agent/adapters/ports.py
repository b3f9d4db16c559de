"""Free TCP ports for workers."""

from __future__ import annotations

import socket
from collections.abc import Collection

from services.chassis.errors import Unavailable

TRIES = 64


def free_port(host: str, taken: Collection[int]) -> int:
    """Return a port nothing listens on now and that is not promised to another worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(TRIES):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
    raise Unavailable("no free port was found")
