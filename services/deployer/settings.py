"""What can be tuned in the deployer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from services.chassis.snapshot_settings import SnapshotSettings
from services.chassis.targets import PRIVATE_NETWORKS, Networks

Seconds = Annotated[float, Field(gt=0, le=86400)]


class Settings(SnapshotSettings):
    """Read from the environment and `.env`; names begin with QM_."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    amqp_url: str = Field(
        default="amqp://localhost/", repr=False, description="Quartermaster's own broker."
    )
    deploy_retry_interval: Seconds = Field(
        default=2.0,
        description="Seconds until an agent that did not answer is asked again; shorter goes on"
        " sooner after an outage and asks more during it.",
    )
    deploy_ready_within: Seconds = Field(
        default=1800.0,
        description="Seconds a worker may take to serve before it is ended and its start counts as"
        " failed; longer where models are loaded over a slow line.",
    )
    deploy_stop_grace: Annotated[float, Field(ge=0, le=600)] = Field(
        default=10.0,
        description="Seconds a worker has to end by itself before it is killed; longer where"
        " requests in flight take long.",
    )
    deploy_kill_within: Seconds = Field(
        default=30.0,
        description="Seconds after which an order to kill a process is given up: its pid may be"
        " another process by then.",
    )
    deploy_commands_per_node: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8,
        description="Commands one node is given at a time; fewer where starting several workers at"
        " once overloads its disks.",
    )
    agent_answer_within: Seconds = Field(
        default=10.0,
        description="Seconds an agent may take beyond the wait it was asked for; longer where"
        " agents are far away or their machines overloaded.",
    )
    agent_token: SecretStr | None = Field(
        default=None, description="Bearer token agents know us by; for development without TLS."
    )
    agent_ca: str | None = Field(
        default=None, description="File of the authority that signs agents' certificates."
    )
    agent_cert: str | None = Field(
        default=None, description="File of our certificate, where agents ask for one (mutual TLS)."
    )
    agent_key: str | None = Field(
        default=None, description="File of our certificate's private key, where it is another file."
    )
    agent_networks: Annotated[tuple[str, ...], NoDecode, Networks] = Field(
        default=PRIVATE_NETWORKS,
        description="Networks (CIDR, comma separated) where agents may be; anything else is refused"
        " before a connection is made.",
    )
    agent_plain_secrets: bool = Field(
        default=False,
        description="On only in development, where agents on other machines have no TLS yet and"
        " queue passwords may travel unencrypted.",
    )
