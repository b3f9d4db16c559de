"""What rules look at: the folded state, a moment, and what was asked beside the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.alerter.state.folded import State
from services.alerter.state.values import Condition, Lag, Limits


@dataclass(frozen=True, slots=True)
class View:
    """All that a rule may know.

    lag: what the journal said of who is behind; None while it does not answer. well_since: since
    when the rules that go by it have found nothing.
    """

    state: State
    now: datetime
    limits: Limits = field(default_factory=Limits)
    lag: Lag | None = None
    well_since: Mapping[str, datetime] = field(default_factory=dict)

    def as_it_was(self, rule: str, subject: str) -> list[Condition]:
        """Return what an open alert stands on: where nothing is known, nothing changes."""
        known = self.state.open.get((rule, subject))
        if known is None:
            return []
        event = known.event
        return [Condition(rule, subject, event.severity, event.summary, 0, event.evidence)]
