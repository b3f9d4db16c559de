"""What comes with a command, what is answered, and what is kept to make asking again harmless."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.gateway.decide.verdicts import Decision


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and on which conditions.

    key: the same key again is the same command. fingerprint: what was asked, so that a key used
    for something else is noticed. if_position: only if nothing it touches changed after this.
    if_match: that position came as the tag of what was read.
    """

    actor: str
    key: str | None = None
    fingerprint: bytes = b""
    if_position: int | None = None
    if_match: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to; `repeated`: it was done before, by an earlier request."""

    status: int
    data: Mapping[str, Any]
    position: int | None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A proposal as it is kept before it is made: the same ids go with the same drafts for ever."""

    event_ids: tuple[str, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out what a key stands for.

    stored: what an earlier request proposed without learning the outcome.
    answered: what an earlier request was answered.
    """

    asked: Asked
    token: str
    stored: Stored | None = None
    answered: Answer | None = field(default=None)
