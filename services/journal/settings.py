"""What can be tuned about the journal."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the broker and the log are, what is kept, and where backups go."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    amqp_url: str = Field(
        description="The broker, with the journal's own user; change it with the deployment."
    )
    database_url: str = Field(
        validation_alias=AliasChoices("QM_DATABASE_URL", "DATABASE_URL"),
        description="The log's database, with the role qm_journal; change it with the deployment.",
    )
    telemetry_window_days: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="Whole days that telemetry is kept; facts are kept for ever. Lower it where"
        " disk is short, raise it to replay or rebuild read models of telemetry further back. A"
        " day that was dropped does not come back.",
    )
    backup_dir: Path | None = Field(
        default=None,
        description="The directory below which backups are written, on this machine or a volume"
        " mounted here; without one, `quartermaster log backup` must go to the database itself.",
    )
