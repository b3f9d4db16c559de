"""What a decision is given and what it returns: drafts to record, or a denial and its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from contracts.envelope import Draft
    from contracts.types import SecretRef
    from services.gateway.state import Kind, State

OK, CREATED, TAKEN_ON = 200, 201, 202


@dataclass(frozen=True, slots=True)
class Given:
    """What a decision cannot make itself.

    fresh: letters and digits that no id has yet. secret: where the command's secret is kept.
    """

    fresh: str
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be recorded, all together, and what is answered then.

    shows: the thing to answer with, as it is after the events; `answer` where there is none.
    forgets: secrets that nobody needs once this is recorded. drops: of others one version.
    """

    drafts: tuple[Draft, ...]
    status: int = OK
    shows: tuple[Kind, str] | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
    forgets: tuple[str, ...] = ()
    drops: tuple[SecretRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a command cannot be done: wrong, about nothing, or against what others did.

    about: the field that is to blame.
    """

    kind: Literal["refused", "not_found", "conflict"]
    detail: str
    about: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[Mapping[str, str], ...] = ()


Verdict = Decision | Denial


@dataclass(frozen=True, slots=True)
class SecretWanted:
    """A secret that must be kept before the decision is recorded.

    above: its version must be later than this one, though the rows before it were lost.
    """

    secret_id: str
    purpose: str
    readers: tuple[str, ...]
    above: int = 0


class Command(Protocol):
    """Something a person asked for; all of its methods are pure."""

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the streams it writes to or stands on."""

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return which secret comes with it, if one does."""

    def decide(self, state: State, given: Given) -> Verdict:
        """Return what is to be recorded, or why nothing is."""


def unknown(kind: str, id_: str, about: str | None = None) -> Denial:
    """Return the denial of a thing that is not there; `about`: the field that named it."""
    return Denial("refused" if about else "not_found", f"there is no {kind} {id_}", about)
