"""A worker's output: its last lines, what is new in it, and a bound on its size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 64 * 1024
TAIL_BYTES = 1024 * 1024


class Logs:
    """The workers' output; a log over `bound` bytes is moved aside, keeping one."""

    def __init__(self, place: Callable[[str], Path], bound: int) -> None:
        self._place, self._bound = place, bound

    def end(self, instance_id: str, size: int) -> str:
        """Return at most the last `size` bytes, as text."""
        return end_of(self._place(instance_id), size)

    def last_lines(self, instance_id: str, lines: int) -> tuple[str, int]:
        """Return the last lines, and the offset behind them."""
        return last_lines(self._place(instance_id), lines)

    def read_on(self, instance_id: str, offset: int) -> tuple[bytes, int]:
        """Return what came after `offset`, a chunk at most, and the new offset."""
        return read_on(self._place(instance_id), offset)

    def rotate(self, instance_id: str) -> bool:
        """Move the log aside when it is over its bound; return whether it was."""
        return rotate(self._place(instance_id), self._bound)


def end_of(path: Path, size: int) -> str:
    """Return at most the last `size` bytes as text, beginning with a whole line if it can."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - size)
            file.seek(start)
            content = file.read(size)
    except FileNotFoundError:
        return ""
    if start and (newline := content.find(b"\n")) >= 0:
        content = content[newline + 1 :]
    return content.decode("utf-8", "replace").replace("\x00", "")


def last_lines(path: Path, lines: int) -> tuple[str, int]:
    """Return the last lines and the offset behind them; the rotated file helps out."""
    text = end_of(path, TAIL_BYTES)
    offset = path.stat().st_size if path.exists() else 0
    if text.count("\n") < lines:
        text = end_of(_older(path), TAIL_BYTES) + text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else "", offset


def read_on(path: Path, offset: int) -> tuple[bytes, int]:
    """Return what came after `offset`, a chunk at most, and the new offset; a cut file restarts."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < offset:
                offset = 0
            file.seek(offset)
            content = file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b"", 0
    return content, offset + len(content)


def rotate(path: Path, bound: int) -> bool:
    """Move a log that is over its bound aside, keeping one; return whether it was.

    The worker holds the file open for appending, so its content is copied and cut, not renamed.
    Where there is no room for the copy it is cut all the same: the disk is everybody's.
    """
    try:
        if path.stat().st_size <= bound:
            return False
        try:
            shutil.copyfile(path, _older(path))
        except OSError:
            _older(path).unlink(missing_ok=True)
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
