"""What a reader of the feed is given: events as they are sent, or the reason why it ends."""

from __future__ import annotations

from dataclasses import dataclass


class FellBehindError(Exception):
    """A reader was so slow that what it would read next is not kept any more."""


class EndedError(Exception):
    """This process ends; another one goes on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is kept of an event: how it is chosen, whose node it tells of, and its bytes.

    with_logs: the bytes with a worker's last lines in them, where the event holds any.
    """

    position: int
    type: str
    stream: str
    node_id: str | None
    sse: bytes
    with_logs: bytes | None = None

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return len(self.sse) + len(self.with_logs or b"")

    def shown(self, *, logs: bool) -> bytes:
        """Return the bytes for who may read logs, or for who may not."""
        return self.with_logs if logs and self.with_logs is not None else self.sse


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events in order: all that is wanted up to `through`."""

    frames: tuple[Frame, ...]
    through: int
    sse: bytes
