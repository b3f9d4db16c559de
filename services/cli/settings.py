"""Where the command finds the gateway."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The gateway's address and a token."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    gateway_url: str = Field(
        default="http://127.0.0.1:8000",
        description="The gateway; change it when it does not listen on this machine.",
    )
    api_token: SecretStr = Field(
        description="What proves who asks; `just up` prints one when the platform starts."
    )
