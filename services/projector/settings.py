"""What can be tuned of the projector."""

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, checked at start."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    database_url: str = Field(
        validation_alias=AliasChoices("QM_DATABASE_URL", "DATABASE_URL"),
        description="The database, as the role qm_projector. Change it where PostgreSQL moves.",
        repr=False,
    )
    amqp_url: str = Field(
        validation_alias="QM_AMQP_URL",
        description="The broker, as the user projector; it only wakes the projector up.",
        repr=False,
    )
    batch: int = Field(
        default=5_000,
        ge=1,
        le=50_000,
        validation_alias="QM_PROJECTOR_BATCH",
        description="Events in one transaction at most, four times as many in a rebuild. Lower it "
        "where memory is short: an event may have 64 KiB.",
    )
    queue_history_max_length: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        validation_alias="QUEUE_HISTORY_MAX_LENGTH",
        description="Queue samples kept for each model. Raise it to look back further.",
    )
    cached_rows: int = Field(
        default=20_000,
        ge=0,
        le=10_000_000,
        validation_alias="QM_PROJECTOR_CACHED_ROWS",
        description="Rows of each read model kept in memory. Raise it where more rows than that "
        "change all the time; lower it where memory is short.",
    )
    replaced_kept_s: float = Field(
        default=600.0,
        ge=0,
        validation_alias="QM_REBUILD_REPLACED_KEPT_S",
        description="How long tables that a rebuild replaced are kept (s). Raise it to have time "
        "to look at them; lower it where the disk is short.",
    )
