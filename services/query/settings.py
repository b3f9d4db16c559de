"""What can be tuned of the query service."""

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, checked at start."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    database_url: str = Field(
        validation_alias=AliasChoices("QM_DATABASE_URL", "DATABASE_URL"),
        description="The database, as the role qm_query, which may only read. A replica will do, "
        "where reads may lag.",
        repr=False,
    )
    http_host: str = Field(
        default="127.0.0.1",
        validation_alias="QM_HTTP_HOST",
        description="Where to listen. Nobody is asked who they are here: open it to the gateway "
        "and to trusted networks only.",
    )
    http_port: int = Field(
        default=8082,
        ge=0,
        le=65535,
        validation_alias="QM_HTTP_PORT",
        description="The port to listen on. Change it when it is taken.",
    )
    min_position_wait_s: float = Field(
        default=5.0,
        ge=0,
        le=60,
        validation_alias="QM_MIN_POSITION_WAIT_S",
        description="How long a read waits for the position it asks for before it answers 503. "
        "Raise it where the projector lags, lower it where callers would rather come again.",
    )
    queue_history_max_length: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        validation_alias="QUEUE_HISTORY_MAX_LENGTH",
        description="Queue samples kept for each model, the same as for the projector: a read of "
        "the past shows as many. Raise it to look back further.",
    )
    connections: int = Field(
        default=4,
        ge=1,
        le=100,
        validation_alias="QM_QUERY_CONNECTIONS",
        description="Database connections at most. Raise it when reads wait for each other and "
        "PostgreSQL has cores to spare.",
    )
