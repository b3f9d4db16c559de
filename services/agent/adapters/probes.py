"""Is a worker ready: asked over HTTP, by a file, or by a line of its output."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from services.agent.state import Readiness

TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 1024 * 1024
OK = 200


def is_ready(readiness: Readiness, ready_file: Path, log: Path) -> bool:
    """Return whether the worker says it serves; blocks at most a few seconds."""
    return PROBES[readiness.kind](readiness, ready_file, log)


def _http(readiness: Readiness, _ready_file: Path, _log: Path) -> bool:
    parts = urlsplit(readiness.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path, headers={"accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER_BYTES)
    except (OSError, HTTPException):
        return False  # it does not listen yet, and we shall ask again
    finally:
        connection.close()
    return answer.status == OK and (not readiness.model or _lists(body, readiness.model))


def _lists(body: bytes, model: str) -> bool:
    try:
        entries = json.loads(body)["data"]
        return any(entry["id"] == model for entry in entries)
    except (ValueError, KeyError, TypeError):
        return False


def _file(_readiness: Readiness, ready_file: Path, _log: Path) -> bool:
    return ready_file.exists()


def _line(readiness: Readiness, _ready_file: Path, log: Path) -> bool:
    wanted, rest = readiness.text.encode(), b""
    try:
        with log.open("rb") as file:
            while chunk := file.read(MAX_ANSWER_BYTES):
                if wanted in rest + chunk:
                    return True
                rest = chunk[-len(wanted) :]
    except FileNotFoundError:
        return False
    return False


PROBES: dict[str, Callable[[Readiness, Path, Path], bool]] = {
    "http": _http,
    "file": _file,
    "line": _line,
}
