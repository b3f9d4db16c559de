"""The agent's memory on disk: one file, replaced whole and synced at every change."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from pydantic import ValidationError

from services.agent.state import Kept
from services.chassis.errors import Bug, Conflict, Unavailable


class Store:
    """`state.json` in the agent's directory, which only one agent may use at a time."""

    def __init__(self, root: Path) -> None:
        self._path, self._lock = root / "state.json", root / "lock"
        self._held: int | None = None
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def acquire(self) -> None:
        """Take the directory; Conflict when another agent has it. Released when we die."""
        held = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(held)
            raise Conflict(f"another agent uses {self._path.parent}") from error
        self._held = held

    def release(self) -> None:
        """Let another agent have the directory."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def load(self) -> Kept | None:
        """Return what was kept, or None the first time; Bug when the file makes no sense."""
        try:
            return Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise Bug(f"{self._path} cannot be read: {error}") from error

    def save(self, kept: Kept) -> None:
        """Return when it is on the disk; Unavailable when the disk will not have it."""
        try:
            self._replace(kept.model_dump_json().encode())
        except OSError as error:
            raise Unavailable(f"the agent's state cannot be kept: {error.strerror}") from error

    def _replace(self, content: bytes) -> None:
        draft = self._path.with_suffix(".new")
        draft.touch(mode=0o600)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
