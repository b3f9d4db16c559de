"""Ports of engines and services: chosen once, kept over restarts so that clients find back.

Whoever chooses a port holds it until its own process ends, for a server may take seconds to come
up, or be down for a moment: a held port is bound but not listened on, which keeps every other
chooser away and lets the server in (both set SO_REUSEADDR, as socket(7) has it).
"""

import atexit
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

_held: dict[int, socket.socket] = {}


def keep_or_choose(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Return a held port for each name: those of the last start if all are free, else new ones."""
    known = recall(file)
    if set(names) <= set(known) and all(hold(known[name]) for name in names):
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
    """Return that many different ports of the loopback interface, held for who asks."""
    chosen: set[int] = set()
    for _ in range(ATTEMPTS):
        port = random.choice(RANGE)  # noqa: S311 - no secret
        if is_unclaimed(port) and hold(port):
            chosen.add(port)
        if len(chosen) == count:
            return sorted(chosen)
    raise EngineError(f"no {count} free ports between {RANGE.start} and {RANGE.stop} on {LOOPBACK}")


def is_unclaimed(port: int) -> bool:
    """Tell whether nobody listens on a port, holds it, or lately talked over it."""
    with socket.socket() as probe:
        return _bound(probe, port)


def hold(port: int) -> bool:
    """Keep a port from other choosers until this process ends; False when somebody listens."""
    if port in _held:
        return True
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not _bound(holder, port):
        holder.close()
        return False
    _held[port] = holder
    return True


@atexit.register
def _let_go() -> None:
    while _held:
        _held.popitem()[1].close()


def _bound(candidate: socket.socket, port: int) -> bool:
    try:
        candidate.bind((LOOPBACK, port))
    except OSError:
        return False
    return True


def answers(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
