"""Tells a state what was recorded, in order, so that a test reads as what happened."""

from datetime import UTC, datetime, timedelta

from contracts.envelope import Draft, Event, Meta, Recorded

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Story:
    """The log as one state folds it: positions are dense, time stands still unless told."""

    def __init__(self, state):
        self.state = state
        self.now = NOON
        self.position = 0

    def told(self, *events: Event) -> "Story":
        """Fold these events, now."""
        for event in events:
            self._record(event, "test/stream")
        return self

    def recorded(self, proposals) -> "Story":
        """Fold what was decided, as if the journal had recorded it."""
        for proposal in proposals:
            for draft in proposal:
                assert isinstance(draft, Draft)
                self._record(draft.event, draft.stream)
        return self

    def later(self, seconds: float) -> "Story":
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    def _record(self, event: Event, stream: str) -> None:
        self.position += 1
        if event.type not in self.state.TYPES:
            return
        self.state.apply(
            Recorded(
                position=self.position,
                event_id=f"event-{self.position}",
                stream=stream,
                version=1,
                type=event.type,
                schema_version=event.schema_version,
                data=event.model_dump(mode="json"),
                recorded_at=self.now,
                meta=Meta("test", self.now.isoformat(), "test"),
            )
        )
