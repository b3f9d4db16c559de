"""What the scheduler knows, folded from the log in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from contracts.catalogue import read
from services.scheduler.state.demand import DEMAND
from services.scheduler.state.fleet import Fleet
from services.scheduler.state.instances import INSTANCES
from services.scheduler.state.memory import REMEMBERED
from services.scheduler.state.nodes import NODES

if TYPE_CHECKING:
    from contracts.envelope import Recorded

__all__ = ["State"]

FOLDS = {**DEMAND, **NODES, **INSTANCES}


@dataclass
class State(Fleet):
    """The fleet as the log tells it through `position`."""

    TYPES: ClassVar[frozenset[str]] = frozenset(FOLDS)

    def apply(self, event: Recorded) -> None:
        """Fold one event; types that are not ours change nothing."""
        fold = FOLDS.get(event.type)
        if fold is None:
            return
        self.position, self.at_s = event.position, event.recorded_at.timestamp()
        self.changes += 1
        if event.type in REMEMBERED:
            self.memory.note(event)
        fold(self, read(event), event)
