"""What can be tuned about the journal."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the broker and the log are."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    amqp_url: str = Field(
        description="The broker, with the journal's own user; change it with the deployment."
    )
    database_url: str = Field(
        validation_alias=AliasChoices("QM_DATABASE_URL", "DATABASE_URL"),
        description="The log's database, with the role qm_journal; change it with the deployment.",
    )
