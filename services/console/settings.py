"""What can be tuned about the console."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.chassis.targets import Networks

NetworkList = Annotated[tuple[str, ...], NoDecode, Networks]
Prefix = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=100)]


class Settings(BaseSettings):
    """Read from the environment and `.env`, checked at start; no error quotes a value."""

    model_config = SettingsConfigDict(
        env_prefix="QM_",
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    gateway_url: str = Field(
        default="http://127.0.0.1:8000",
        description="The gateway that everything is asked of; change it with its address.",
    )
    api_v1_str: Prefix = Field(
        default="/api/v1",
        validation_alias="API_V1_STR",
        description="Where the gateway's API begins; change it when the gateway's was changed.",
    )
    project_name: str = Field(
        default="Quartermaster",
        validation_alias="PROJECT_NAME",
        description="The name on every page; change it to tell two installations apart.",
    )
    console_host: str = Field(
        default="127.0.0.1",
        description="Where to listen; 0.0.0.0 opens the console to the network, behind TLS please.",
    )
    console_port: int = Field(
        default=8080, ge=0, le=65535, description="The port to listen on; change it when taken."
    )
    console_key: Annotated[SecretStr, Field(min_length=32)] | None = Field(
        default=None,
        description="What session cookies are sealed with, at least 32 characters. Without it a key"
        " is made at each start, and everybody logs in again after a restart; several consoles"
        " behind one address share one.",
    )
    console_secure: bool = Field(
        default=False,
        description="Cookies travel over TLS only; set it wherever the console is not on this"
        " machine alone.",
    )
    trusted_proxies: NetworkList = Field(
        default=(),
        description="Networks (CIDR, comma separated) of proxies whose X-Forwarded-For is"
        " believed; none by default. Set it to where your proxy is: the gateway paces logins by"
        " the address it is told, which is the proxy's otherwise.",
    )
    console_hours: Annotated[int, Field(ge=1, le=24 * 30)] = Field(
        default=12,
        description="How long a login lasts at most; shorter where screens are shared.",
    )
