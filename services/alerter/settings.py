"""What can be tuned in the alerter."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.snapshot_settings import SnapshotSettings
from services.chassis.webhook_settings import WebhookSettings

Seconds = Annotated[float, Field(gt=0, le=604_800)]


class Settings(SnapshotSettings, WebhookSettings):
    """Read from the environment and `.env`; names begin with QM_."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    amqp_url: str = Field(default="amqp://localhost/", repr=False, description="The broker.")
    alert_tick: Seconds = Field(
        default=1.0,
        description="Seconds after which the rules are applied though nothing happened; shorter"
        " sends what is to be sent again more punctually.",
    )
    queue_growth_recent: Seconds = Field(
        default=300.0,
        description="Seconds that count as now when a queue is judged; longer forgives bursts.",
    )
    queue_growth_before: Seconds = Field(
        default=1800.0, description="Seconds before that, which it is compared with."
    )
    alert_calm_scale: Annotated[float, Field(ge=0, le=100)] = Field(
        default=1.0,
        description="Stretches or shortens how long all must be over before it is resolved; a"
        " rule's own limits are changed over HTTP.",
    )
    alert_lag_interval: Seconds = Field(
        default=5.0,
        description="Seconds between questions to the journal of who is behind and what is parked.",
    )
    alertmanager_resend: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=60.0,
        description="Seconds after which an Alertmanager is told again what is open; it believes"
        " that for four times as long. Longer spares it, shorter forgets sooner what is over.",
    )
    webhook_retry_scale: Annotated[float, Field(gt=0, le=100)] = Field(
        default=1.0,
        description="Stretches or shortens the times between attempts (5 s to 10 h).",
    )
    webhook_timeout: Annotated[float, Field(gt=0, le=60)] = Field(
        default=5.0, description="Seconds a webhook may take; more where it does its work at once."
    )
    webhook_parallel: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="Messages under way to one webhook; 1 where it bears no more."
    )
    webhook_ca: str | None = Field(
        default=None,
        description="File of the authority that signs webhooks' certificates, where it is our own.",
    )
    log_silence_after: Seconds = Field(
        default=30.0,
        description="Seconds without a word of the log after which webhooks are told directly.",
    )
