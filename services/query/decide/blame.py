"""The chain of causes of one event, and the tree of what came of it; it always ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.http.history import Blame, ChainEnd, Effect
from services.query.decide.lines import Around, cause_of, line, mention
from services.query.decide.words import why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contracts.envelope import Recorded


class Tree:
    """What came of an event, as far as it was read.

    effects: by id of the cause. cut: the ids of those of which more came than was read.
    """

    def __init__(self) -> None:
        self.effects: dict[str, list[Recorded]] = {}
        self.cut: set[str] = set()
        self.size = 0

    def grow(self, cause: Recorded, effects: Sequence[Recorded], *, at_most: int) -> list[Recorded]:
        """Take in what came of an event, as much as there is room for; return what was taken.

        effects: all of them later than it, the first ones of what there is.
        """
        taken = list(effects[: max(0, at_most)])
        if len(taken) < len(effects):
            self.cut.add(cause.event_id)
        if taken:
            self.effects[cause.event_id] = taken
            self.size += len(taken)
        return taken


def chain(event: Recorded, known: Mapping[str, Recorded]) -> list[Recorded]:
    """Return what led to an event, nearest first, as far as it is known; positions only fall."""
    found: list[Recorded] = []
    cause = cause_of(event, known)
    while cause is not None:
        found.append(cause)
        cause = cause_of(cause, known)
    return found


def blame(
    event: Recorded,
    known: Mapping[str, Recorded],
    tree: Tree,
    position: int,
    *,
    at_most: int,
    first: Recorded | None = None,
) -> Blame:
    """Return the answer: at most so many causes, the tree, and where either was cut.

    known: events by id, one cause more than are shown. first: of a chain that is cut, where it
    begins, if that is known.
    """
    causes = chain(event, known)
    is_cut = len(causes) > at_most
    causes = causes[:at_most]
    farthest = causes[-1] if causes else event
    end = _end(farthest, is_cut=is_cut)
    first = farthest if end == "first" else first
    seen = next((each for each in causes if mention(each).nature in ("asked", "seen")), None)
    around = Around(known, tree.effects)
    return Blame(
        event=line(event, around),
        causes=tuple(line(each, Around(known)) for each in causes),
        end=end,
        unknown=farthest.meta.causation_id if end == "unknown" else None,
        origin=mention(seen) if seen else None,
        first=mention(first) if first else None,
        effects=_effects(event, tree),
        event_cut=event.event_id in tree.cut,
        cut=bool(tree.cut),
        shown=tree.size,
        position=position,
    )


def _end(farthest: Recorded, *, is_cut: bool) -> ChainEnd:
    if farthest.meta.causation_id is None:
        return "first"
    return "cut" if is_cut else "unknown"


def _effects(event: Recorded, tree: Tree) -> tuple[Effect, ...]:
    return tuple(
        Effect(
            **dict(mention(each)),
            stream=each.stream,
            who=each.meta.actor,
            why=why(each),
            effects=_effects(each, tree),
            cut=each.event_id in tree.cut,
        )
        for each in tree.effects.get(event.event_id, ())
    )
