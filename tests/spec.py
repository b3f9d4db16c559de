"""Given, when, then for a service that decides: events in, proposals out, the state untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from contracts.envelope import Draft, Event, Recorded
from tests.builders import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

Proposals = list[tuple[Draft, ...]]


class Folds(Protocol):
    """A state that folds recorded events in place; its `repr` shows all of it, in order."""

    def apply(self, event: Recorded) -> None: ...


S = TypeVar("S", bound=Folds)


class Spec(Generic[S]):
    """One story: what was recorded, when it is decided, what is proposed.

    decide: called with the state, now and what else `when_deciding` is given.
    """

    def __init__(self, state: S, decide: Callable[..., Proposals], **arguments: Any) -> None:
        self.state, self.decide, self.arguments = state, decide, arguments
        self.log = Log()
        self.proposals: Proposals = []

    def given(self, *events: Event | Draft | Iterable[Event | Draft]) -> Self:
        """Record and fold events, at the story's present time."""
        for event in events:
            if isinstance(event, Event | Draft):
                self.state.apply(self.log.record(event))
            else:
                self.given(*event)
        return self

    def after(self, seconds: float) -> Self:
        """Let time pass."""
        self.log.wait(seconds)
        return self

    def when_deciding(self, **arguments: Any) -> Self:
        """Decide now; the state may not change by it, and deciding again says the same."""
        before = repr(self.state)
        given = {**self.arguments, **arguments}
        self.proposals = self.decide(self.state, self.log.now, **given)
        assert repr(self.state) == before, "decide changed the state"
        assert self.decide(self.state, self.log.now, **given) == self.proposals
        return self

    def when_deciding_at(self, now: datetime, **arguments: Any) -> Self:
        """Decide at another time."""
        self.log.now = now
        return self.when_deciding(**arguments)

    def when_recorded(self) -> Self:
        """Let the journal record what was proposed, and fold it."""
        for drafts in self.proposals:
            for recorded in self.log.append(drafts):
                self.state.apply(recorded)
        return self

    @property
    def events(self) -> list[Event]:
        """All proposed events in order."""
        return [draft.event for drafts in self.proposals for draft in drafts]

    def of(self, *types: type[Event]) -> list[Any]:
        """The proposed events of these types."""
        return [event for event in self.events if isinstance(event, types)]

    def one(self, type_: type[Event], **fields: Any) -> Any:
        """The only proposed event of a type with these fields; it must be there, once."""
        found = [
            event
            for event in self.of(type_)
            if all(getattr(event, name) == value for name, value in fields.items())
        ]
        assert len(found) == 1, f"{type_.type} with {fields}: {len(found)} in {self.events}"
        return found[0]

    def then(self, *types: type[Event]) -> Self:
        """Demand that exactly these types are proposed, in this order."""
        assert [type(event) for event in self.events] == list(types), self.events
        return self

    def then_nothing(self) -> Self:
        """Demand that nothing is proposed."""
        return self.then()

    def then_no(self, *types: type[Event]) -> Self:
        """Demand that none of these types is proposed."""
        assert not self.of(*types), self.events
        return self
