"""What can be tuned about the scheduler."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from services.chassis.keeping import KEPT_OF_THE_PAST, Pace
from services.chassis.snapshot_settings import SnapshotSettings

MIB = 1024 * 1024


class Settings(SnapshotSettings):
    """Read from the environment and `.env`."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    amqp_url: str = Field(
        default="amqp://localhost:5672/",
        description="The broker; change it to where your RabbitMQ is, with the scheduler's user.",
    )
    enable_scheduler: bool = Field(
        default=True,
        validation_alias=AliasChoices("ENABLE_SCHEDULER", "QM_ENABLE_SCHEDULER"),
        description="Off: the fleet is followed and nothing is decided, as during a maintenance.",
    )
    scheduler_interval: float = Field(
        default=60.0,
        gt=0,
        description="Seconds between passes when nothing changes; lower to see time-outs sooner.",
    )
    snapshot_room_mb: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=256,
        description="Room in the database for snapshots of past states (MiB); the more, the more of"
        " the past is explained as soon as the present. Some are kept in any case.",
    )
    scheduler_telemetry_window_s: float = Field(
        default=7200.0,
        ge=600,
        description="How far back samples and reports are read at a start; at least any idle_s.",
    )

    def pace(self) -> Pace:
        """Return how often snapshots are taken, and how many are kept to look back from."""
        return self.snapshot_pace(KEPT_OF_THE_PAST, self.snapshot_room_mb * MIB)
