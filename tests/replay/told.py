"""What today's code makes of a history: read models by projection, decisions by position."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from contracts import catalogue
from services.projector.handlers import Projector
from services.projector.projections import READ_MODELS
from services.projector.state import wanted
from services.scheduler.decide import decide
from services.scheduler.state import State
from tests.unit.projector.tables import MemoryLog, MemoryTables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from contracts.envelope import Draft, Recorded

NAMES = tuple(sorted(model.name for model in READ_MODELS))
_WANTED = wanted(READ_MODELS)

Proposals = list[tuple["Draft", ...]]


def canonical(value: Any) -> bytes:
    """Return JSON that is the same whatever the order of names was."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def hashed(lines: Iterable[bytes]) -> str:
    """Return the sha256 of some lines."""
    digest = sha256()
    for line in lines:
        digest.update(line + b"\n")
    return digest.hexdigest()


# Read models.


class RebuildLog(MemoryLog):
    """A log read as a build reads it: telemetry that is overtaken in its batch is left out."""

    async def after(self, checkpoint: Any, limit: int, until: int | None = None) -> Any:
        """Return the next batch."""
        batch = await super().after(checkpoint, limit, until)
        newest = {event.stream: event for event in batch.events if event.type in _WANTED.latest}
        events = [
            event
            for event in batch.events
            if event.type not in _WANTED.latest or newest[event.stream] is event
        ]
        return type(batch)(events, batch.count, batch.through)


async def read_models(
    events: Sequence[Recorded], *, batch: int, log: type[MemoryLog] = MemoryLog, stops: int = 1
) -> dict[str, str]:
    """Return the hash of each read model, all versions and entries included.

    stops: the projector is started anew so many times on the way.
    """
    tables = MemoryTables()
    for number in range(1, stops + 1):
        known = list(events[: len(events) * number // stops])
        await Projector(log(known), tables, batch=batch).catch_up()
    return {name: hashed(sorted(_rows(tables, name))) for name in NAMES}


def _rows(tables: MemoryTables, name: str) -> Iterable[bytes]:
    for key, (position, raw) in tables.now[name].items():
        yield canonical([key, position, None, orjson.loads(raw)])
    for key, start, end, raw in tables.were[name]:
        yield canonical([key, start, end, orjson.loads(raw)])
    for key, position, raw in tables.entries[name]:
        yield canonical([key, position, orjson.loads(raw)])


# Decisions.


@dataclass
class Decided:
    """Every pass over a history.

    said: by position, the digest of what is proposed there, where anything is. astray: positions
    of recorded decisions that today are not decided where they were.
    """

    passes: int = 0
    proposals: int = 0
    said: dict[str, str] = field(default_factory=dict)
    astray: list[int] = field(default_factory=list)


def decisions(
    events: Sequence[Recorded],
    *,
    look: Callable[[int, Proposals], None] = lambda *_: None,
    thawed: Callable[[State], State] = lambda state: state,
) -> Decided:
    """Decide at every event that can change a decision, and again where it really was decided.

    look: is shown each pass. thawed: what the state goes through after every hundredth event.
    """
    state, epoch, made = State(), 0, Decided()
    really = _really_decided(events)
    for event in events:
        if event.type == "lease.acquired" and event.data["name"] == "scheduler":
            epoch = int(event.data["epoch"])
        changes = state.changes
        state.apply(event)
        if event.position % 100 == 0:
            state = thawed(state)
        if epoch and state.changes != changes:
            proposals = decide(state, event.recorded_at, epoch)
            made.passes, made.proposals = made.passes + 1, made.proposals + len(proposals)
            if proposals:
                made.said[str(event.position)] = hashed(map(canonical, map(_form, proposals)))[:12]
            look(event.position, proposals)
        _compare(state, really.get(event.position, ()), made)
    return made


def _really_decided(events: Sequence[Recorded]) -> dict[int, list[Recorded]]:
    """Return recorded decisions that say what they stood on, by the position they stood on."""
    found: dict[int, list[Recorded]] = {}
    for event in events:
        reason = event.data.get("reason")
        if event.meta.proposer == "scheduler" and reason and reason.get("now"):
            found.setdefault(reason["position"], []).append(event)
    return found


def _compare(state: State, really: Sequence[Recorded], made: Decided) -> None:
    """Decide once more at the very moments at which it was decided."""
    today: dict[tuple[str, int], set[bytes]] = {}
    for event in really:
        moment = (event.data["reason"]["now"], event.meta.epoch or 0)
        if moment not in today:
            proposals = decide(state, datetime.fromisoformat(moment[0]), moment[1])
            today[moment] = {canonical(_said(draft)) for each in proposals for draft in each}
        # In today's form: a field that was added since is no other decision.
        then = [event.stream, event.type, catalogue.read(event).model_dump(mode="json")]
        if canonical(then) not in today[moment]:
            made.astray.append(event.position)


def _form(drafts: Sequence[Draft]) -> list[Any]:
    return [
        [*_said(draft), draft.expected_version, draft.causation_id, draft.correlation_id]
        for draft in drafts
    ]


def _said(draft: Draft) -> list[Any]:
    return [draft.stream, draft.event.type, draft.event.model_dump(mode="json")]
