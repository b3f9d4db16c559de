"""What can be tuned in the node monitor."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from services.chassis.snapshot_settings import SnapshotSettings
from services.chassis.targets import PRIVATE_NETWORKS, Networks

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(SnapshotSettings):
    """Read from the environment and `.env`; names begin with QM_ unless said otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="QM_", env_file=".env", extra="ignore", populate_by_name=True
    )

    amqp_url: str = Field(
        default="amqp://localhost/", repr=False, description="Quartermaster's own broker."
    )
    node_status_refresh_interval: Seconds = Field(
        default=30.0,
        validation_alias=AliasChoices("NODE_STATUS_REFRESH_INTERVAL"),
        description="Seconds between two reports of a node on which nothing changes; changes are"
        " reported at once whatever this is. Longer keeps the log smaller.",
    )
    node_probe_interval: Seconds = Field(
        default=2.0,
        description="Seconds between two questions to a node that does not answer; shorter sees it"
        " return sooner and costs more where many nodes are down.",
    )
    node_silent_after: Seconds = Field(
        default=10.0,
        description="Seconds without a sign, and at least three missed questions, until a node is"
        " offline; longer where networks are bad, shorter to be told sooner.",
    )
    node_silence_window: Seconds = Field(
        default=30.0,
        description="Nodes that fall silent within so many seconds are taken for one event; when"
        " they are more than half of the fleet we suspect ourselves.",
    )
    agent_answer_within: Seconds = Field(
        default=3.0,
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
        description="Networks (CIDR, comma separated) where agents may be; a node registered with"
        " an address elsewhere is refused before a connection is made, and stays offline.",
    )
