"""Which events belong together: what begins a story, what is part of it, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contracts.envelope import Recorded

ENDINGS = frozenset({"instance.stopped", "instance.died", "instance.start_failed"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of story. whole: everything in its stream belongs to it, from the first event on.

    beside: types of other streams that are part of it where a history has them.
    opens, closes: types that begin and end it; what opens it again while it lasts is part of it.
    """

    code: str
    opens: frozenset[str]
    closes: frozenset[str]
    within: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    whole: bool = False
    subject: Callable[[Recorded], str] = field(default=lambda event: event.stream)

    @property
    def types(self) -> frozenset[str]:
        """Return all types that are part of it."""
        return self.opens | self.closes | self.within | self.beside


def _instance(event: Recorded) -> str:
    return f"instance/{event.data['instance_id']}"


RULES = (
    Rule(
        "run",
        frozenset({"instance.start_requested"}),
        ENDINGS,
        frozenset({"instance.started", "instance.stop_asked", "instance.stop_requested"}),
        frozenset({"gpu.allocated", "gpu.freed"}),
        whole=True,
        subject=_instance,
    ),
    Rule(
        "alert",
        frozenset({"alert.raised"}),
        frozenset({"alert.resolved"}),
        frozenset({"alert.delivered", "alert.delivery_failed"}),
        whole=True,
    ),
    Rule("offline", frozenset({"node.went_offline"}), frozenset({"node.came_online"})),
    Rule("quarantine", frozenset({"gpu.quarantined"}), frozenset({"gpu.released"})),
    Rule("below_floor", frozenset({"model.floor_unmet"}), frozenset({"model.floor_met"})),
    Rule("queue_unreachable", frozenset({"queue.unreachable"}), frozenset({"queue.recovered"})),
    Rule(
        "active",
        frozenset({"strategy.activated"}),
        frozenset({"strategy.deactivated", "strategy.deleted"}),
    ),
)
BY_TYPE = {type_: rule for rule in RULES for type_ in rule.types}


@dataclass
class Span:
    """One story as far as its events are known, in order; without a rule it stands alone."""

    rule: Rule | None
    subject: str
    events: list[Recorded]
    is_over: bool = False

    @property
    def anchors(self) -> list[Recorded]:
        """Return the events that say where it is: those of its own stream, or all it has."""
        return [event for event in self.events if event.stream == self.subject] or self.events


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be read besides a page of events, to tell its stories from their beginning.

    streams: to be read whole. keys: of the history, with all that is under them. edges: (stream,
    opens, closes, first version, last version): all of these types, from what opened it first
    since it was closed last to what closed it next.
    """

    streams: tuple[str, ...]
    keys: tuple[str, ...]
    edges: tuple[tuple[str, frozenset[str], frozenset[str], int, int], ...]


def spans(events: Iterable[Recorded]) -> list[Span]:
    """Return the stories of events in the order of their beginnings; each event is in one."""
    found: list[Span] = []
    open_: dict[tuple[str, str], Span] = {}
    for event in sorted(events, key=lambda each: each.position):
        rule = BY_TYPE.get(event.type)
        if rule is None:
            found.append(Span(None, event.stream, [event]))
            continue
        key = rule.code, rule.subject(event)
        known = open_.get(key)
        if known is None and not rule.whole and event.type not in rule.opens:
            found.append(Span(None, event.stream, [event]))  # it ended what never began
            continue
        if known is None:
            known = open_[key] = Span(rule, key[1], [])
            found.append(known)
        known.events.append(event)
        if event.type in rule.closes:
            known.is_over = True
            if not rule.whole:
                del open_[key]
    return found


def belonging(events: Iterable[Recorded], members: set[int]) -> list[Recorded]:
    """Return events without those of other streams that this history does not have."""
    return [
        event
        for event in events
        if event.position in members
        or (rule := BY_TYPE.get(event.type)) is None
        or event.type not in rule.beside
    ]


def places(
    stories: Iterable[Span], here: set[int], members: set[int], *, newest_first: bool
) -> list[tuple[int, Span]]:
    """Return the stories that have their place at one of the positions `here`, in that order.

    members: the positions of all events that count. A story has its place where its newest one is
    that counts, or its oldest; one of which only by-events count falls into them.
    """
    found: list[tuple[int, Span]] = []
    for story in stories:
        counted = [each.position for each in story.anchors if each.position in members]
        if counted:
            place = max(counted) if newest_first else min(counted)
            found += [(place, story)] if place in here else []
        else:
            alone = [each for each in story.events if each.position in members & here]
            found += [(each.position, Span(None, each.stream, [each])) for each in alone]
    return sorted(found, key=lambda each: each[0], reverse=newest_first)


def wanted(events: Iterable[Recorded]) -> Wanted:
    """Return what else belongs to the stories of a page of a history.

    A story is read from its own stream even where the page seems to have all of it: a history
    need not have every event of it, and what comes after its end is beyond the page.
    """
    whole: dict[str, Rule] = {}
    edges: dict[tuple[str, str], tuple[Rule, int, int]] = {}
    for event in events:
        rule = BY_TYPE.get(event.type)
        if rule is None:
            continue
        if rule.whole:
            whole[rule.subject(event)] = rule
        else:
            key, version = (event.stream, rule.code), event.version
            _, first, last = edges.get(key, (rule, version, version))
            edges[key] = rule, min(first, version), max(last, version)
    return Wanted(
        tuple(whole),
        tuple(
            f"{subject} {each}" for subject, rule in whole.items() for each in sorted(rule.beside)
        ),
        tuple(
            (stream, rule.opens, rule.closes, first, last)
            for (stream, _), (rule, first, last) in edges.items()
        ),
    )
