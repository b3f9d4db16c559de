"""Ports of the engines: chosen once, free, and kept over restarts so that clients find back."""

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import EngineError
from deploy.local.places import replace_file

LOOPBACK = "127.0.0.1"
# Below the ports that the kernel gives to outgoing connections: a restart finds its ports free.
RANGE = range(20_000, 32_000)
ATTEMPTS = 1_000


def keep_or_choose(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Return a port for each name: those of the last start if all are free, else new ones."""
    known = recall(file)
    if set(names) <= set(known) and all(is_free(known[name]) for name in names):
        return {name: known[name] for name in names}
    chosen = choose(len(names))
    ports = dict(zip(names, chosen, strict=True))
    replace_file(file, json.dumps(ports), mode=0o644)
    return ports


def recall(file: Path) -> dict[str, int]:
    """Return the ports of the last start, none if there was none."""
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def choose(count: int) -> list[int]:
    """Return that many different free ports of the loopback interface."""
    chosen: set[int] = set()
    for _ in range(ATTEMPTS):
        port = random.choice(RANGE)  # noqa: S311 - no secret
        if port not in chosen and is_free(port):
            chosen.add(port)
        if len(chosen) == count:
            return sorted(chosen)
    raise EngineError(f"no {count} free ports between {RANGE.start} and {RANGE.stop} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
