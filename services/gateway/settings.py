"""What can be tuned about the gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_settings import NoDecode, SettingsConfigDict

from contracts.types import Id
from services.chassis.snapshot_settings import SnapshotSettings
from services.chassis.targets import PRIVATE_NETWORKS, Networks
from services.chassis.webhook_settings import WebhookSettings
from services.gateway.decide.pacing import Limits, Pace


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


class Settings(SnapshotSettings, WebhookSettings):
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
    api_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None,
        description="The installation's own token, which may do everything and needs no account;"
        " at least 16 characters. Without it one is made at the first start and kept in keys_dir."
        " Change it when anyone who knew it has left.",
    )
    keys_dir: Path = Field(
        default=Path(".quartermaster/gateway"),
        description="Where the keys that sign tokens are kept, and the admin token that was made;"
        " all gateways of an installation need the same ones, so share it between machines.",
    )
    registration_open: bool = Field(
        default=False,
        description="Whether strangers may register, as viewers; otherwise an admin registers.",
    )
    access_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = Field(
        default=60,
        description="How long an access token is good; shorter where refreshing is no trouble.",
    )
    refresh_days: Annotated[int, Field(ge=0, le=365)] = Field(
        default=30,
        description="After how many idle days one must log in again; 0 gives no refresh tokens.",
    )
    login_attempts_per_minute: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="How often one name may be tried from one address."
    )
    address_attempts_per_minute: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=20,
        description="How often one address may try, whichever the names; raise it where many"
        " people share one.",
    )
    name_attempts_per_minute: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=50,
        description="How often one name may be tried from everywhere; so few that guessing is"
        " hopeless, so many that nobody is locked out by others.",
    )
    trusted_proxies: NetworkList = Field(
        default=(),
        description="Networks (CIDR, comma separated) of proxies whose X-Forwarded-For is"
        " believed; none by default. Set it to where your proxy and your console are.",
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
    agent_token: SecretStr | None = Field(
        default=None,
        description="What proves us to agents, for the logs of workers; the same one that agents"
        " are given. Without it logs cannot be read here.",
    )
    agent_ca: str | None = Field(
        default=None, description="A file of certificates that agents' are signed by; over TLS."
    )
    agent_cert: str | None = Field(
        default=None, description="Our certificate's file, where agents ask for one."
    )
    agent_key: str | None = Field(default=None, description="The file of its key.")
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
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = Field(
        default=1024 * 1024,
        description="The longest body of a request; raise it where models' parameters are long.",
    )
    reads_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=200.0,
        description="How many reads a second one caller may make here on average; 0 for no limit."
        " Lower it where one script must not slow everybody.",
    )
    commands_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=100.0,
        description="How many commands a second one caller may give here on average; 0 for no"
        " limit. Raise it where one program registers a large fleet.",
    )
    burst_s: Annotated[float, Field(ge=1, le=3600)] = Field(
        default=10.0,
        description="For how many seconds' worth a caller may ask at once after a rest.",
    )
    streams: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=500,
        description="How many connections for events and GPU states are kept open here; each"
        " takes some memory, and a tenth of a core at a thousand events a second.",
    )
    streams_per_caller: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100,
        description="How many of them one caller may have; lower it where one runs away.",
    )
    stream_patience_s: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        default=20.0,
        description="How long a reader may leave what was sent to it; then it is let go.",
    )
    stream_heartbeat_s: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        default=15.0,
        description="The longest silence on an open connection; shorter than your proxies bear.",
    )
    stream_kept_events: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        default=5000,
        description="How many of the newest events are kept in memory for all readers; raise it"
        " where readers fall behind in bursts.",
    )

    def limits(self) -> Limits:
        """Return what this process takes on."""
        return Limits(
            reads=self._pace(self.reads_per_s),
            commands=self._pace(self.commands_per_s),
            max_body_bytes=self.max_body_bytes,
            streams=self.streams,
            streams_per_caller=self.streams_per_caller,
            patience_s=self.stream_patience_s,
            heartbeat_s=self.stream_heartbeat_s,
            kept_events=self.stream_kept_events,
        )

    def _pace(self, per_s: float) -> Pace | None:
        return Pace(per_s, max(1.0, per_s * self.burst_s)) if per_s else None
