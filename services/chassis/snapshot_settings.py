"""What can be tuned about the snapshots of any service that folds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from services.chassis.keeping import KEPT, Pace


class SnapshotSettings(BaseSettings):
    """How often a service's folded state is kept; every one of its processes reads the same."""

    snapshot_every_events: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        default=500,
        description="Folded events after which a snapshot is kept, which a restart reads again."
        " Fewer restart and look back sooner, more freeze less often. A large state is kept more"
        " rarely, and none twice in ten seconds; 0: none is kept, and a start uses none.",
    )
    snapshot_interval: Annotated[float, Field(gt=0, le=86_400)] = Field(
        default=300.0,
        description="Seconds after which one is kept though little happened, so that a restart does"
        " not look through what others said since; longer writes less.",
    )

    def snapshot_pace(self, kept: int = KEPT, room_bytes: int = 0) -> Pace:
        """Return how often snapshots are taken, and how many the journal keeps."""
        return Pace(self.snapshot_every_events, self.snapshot_interval, kept, room_bytes)
