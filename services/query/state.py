"""What a read finds: JSON as the database made it, and the position that it holds for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """One answer.

    content: None when there is no such thing. next_key: where the next page begins, if any.
    """

    position: int
    content: bytes | None
    next_key: str | None = None
