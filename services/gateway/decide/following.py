"""What a reader of the feed is given: events as they are sent, or the reason why it ends."""

from __future__ import annotations

from dataclasses import dataclass


class FellBehindError(Exception):
    """A reader was so slow that what it would read next is not kept any more."""


class EndedError(Exception):
    """This process ends; another one goes on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is kept of an event: how it is chosen, whose node it tells of, and its bytes."""

    position: int
    type: str
    stream: str
    node_id: str | None
    sse: bytes

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return len(self.sse)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events in order: all that is wanted up to `through`."""

    frames: tuple[Frame, ...]
    through: int
    sse: bytes
