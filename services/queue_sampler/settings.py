"""What can be tuned in the queue sampler."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import NoDecode, SettingsConfigDict

from services.chassis.snapshot_settings import SnapshotSettings
from services.chassis.targets import PRIVATE_NETWORKS, Networks

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(SnapshotSettings):
    """Read from the environment and `.env`; names begin with QM_."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    amqp_url: str = Field(
        default="amqp://localhost/", repr=False, description="Quartermaster's own broker."
    )
    queue_sample_interval: Seconds = Field(
        default=60.0,
        description="Seconds between two samples of a queue; shorter follows the load more closely"
        " and costs the brokers' management more.",
    )
    queue_probe_interval: Seconds = Field(
        default=5.0,
        description="Seconds between two looks at a queue over AMQP; what changed much is recorded"
        " at once. Shorter wakes a sleeping model sooner.",
    )
    queue_probe: bool = Field(
        default=True,
        description="Off where the sampler may reach the Management API but not AMQP.",
    )
    queue_sample_at_once: bool = Field(
        default=True,
        description="Off to let a new model wait for its turn, where thousands are registered at"
        " once.",
    )
    queue_sample_timeout: Seconds = Field(
        default=5.0,
        description="Seconds a broker may take to answer; more where brokers are far away.",
    )
    queue_samples_per_broker: Annotated[int, Field(ge=1, le=256)] = Field(
        default=8,
        description="Questions open at one broker at a time; fewer where a broker is weak.",
    )
    broker_networks: Annotated[tuple[str, ...], NoDecode, Networks] = Field(
        default=PRIVATE_NETWORKS,
        description="Networks (CIDR, comma separated) where models' brokers may be; anything else"
        " is refused before a connection is made.",
    )
