"""What can be tuned about the gateway."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_settings import NoDecode, SettingsConfigDict

from contracts.types import Id
from services.chassis.snapshot_settings import SnapshotSettings
from services.chassis.targets import PRIVATE_NETWORKS, Networks


def _listed(value: Any) -> Any:
    """Return a JSON list, or what stands between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
NetworkList = Annotated[tuple[str, ...], NoDecode, Networks]
Prefix = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=100)]


class Settings(SnapshotSettings):
    """Read from the environment and `.env`, checked at start; no error quotes a value."""

    model_config = SettingsConfigDict(
        env_prefix="QM_",
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    amqp_url: str = Field(
        repr=False,
        description="The broker, with the gateway's own user; change it with its address.",
    )
    database_url: str = Field(
        repr=False,
        validation_alias=AliasChoices("QM_DATABASE_URL", "DATABASE_URL"),
        description="The database of the gateway's own table, with the role qm_gateway; change it"
        " with its address.",
    )
    query_url: str = Field(
        default="http://127.0.0.1:8082",
        description="The query service that reads are forwarded to; change it with its address.",
    )
    http_host: str = Field(
        default="127.0.0.1",
        description="Where to listen; 0.0.0.0 opens the door to the network, behind TLS please.",
    )
    http_port: int = Field(
        default=8000, ge=0, le=65535, description="The port to listen on; change it when taken."
    )
    api_token: Annotated[SecretStr, Field(min_length=16)] = Field(
        description="The token that callers send; at least 16 characters, change it when anyone"
        " who knew it has left."
    )
    api_v1_str: Prefix = Field(
        default="/api/v1",
        validation_alias="API_V1_STR",
        description="Where the API begins; change it behind a proxy that hides a part of the path.",
    )
    project_name: str = Field(
        default="Quartermaster",
        validation_alias="PROJECT_NAME",
        description="The name in / and /docs; change it to tell two installations apart.",
    )
    cors_origins: Origins = Field(
        default=(),
        validation_alias="CORS_ORIGINS",
        description="Origins whose pages may call the API from a browser, as a JSON list or with"
        " commas; none by default.",
    )
    agent_networks: NetworkList = Field(
        default=PRIVATE_NETWORKS,
        description="Networks (CIDR, comma separated) where nodes' agents may be; narrow it to"
        " where your machines are.",
    )
    broker_networks: NetworkList = Field(
        default=PRIVATE_NETWORKS,
        description="Networks (CIDR, comma separated) where models' brokers may be.",
    )
    default_template: Id = Field(
        default="vllm",
        description="What starts a model whose registration does not say; it is given the model's"
        " name as model_path. Change it where most models are served by something else.",
    )
    idempotency_hours: Annotated[int, Field(ge=1, le=24 * 30)] = Field(
        default=24, description="How long an Idempotency-Key is remembered; longer costs rows."
    )
