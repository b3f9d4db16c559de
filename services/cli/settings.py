"""Where the command finds the gateway, and what it shows there."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the environment says; each wins over what `quartermaster login` has kept.

    No `.env` is read: the directory one stands in must not say where a token goes.
    """

    model_config = SettingsConfigDict(
        env_prefix="QM_",
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("QM_URL", "QM_GATEWAY_URL"),
        description="The gateway; set it to work with another one than that of the context.",
    )
    token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("QM_TOKEN", "QM_API_TOKEN"),
        description="An access token or API key; set it in scripts, where nobody logs in.",
    )
    api_v1_str: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)+$")] = Field(
        default="/api/v1",
        validation_alias="API_V1_STR",
        description="Where the gateway's API begins; set it as the gateway has it.",
    )
    context: str | None = Field(
        default=None,
        description="Which login to use, by the name of its context; set it for one command or one"
        " shell, where `quartermaster context NAME` would change it for all.",
    )
