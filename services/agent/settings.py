"""What can be tuned in the agent of a node."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.types import BootId, Name, NodeId

INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "CUDA_HOME", "HF_HOME", "HF_HUB_OFFLINE",
    "XDG_CACHE_HOME",
)  # fmt: skip
Names = Annotated[tuple[Name, ...], NoDecode]


class Settings(BaseSettings):
    """Read from the environment and `.env`; every name begins with QM_."""

    model_config = SettingsConfigDict(env_prefix="QM_", env_file=".env", extra="ignore")

    node_id: NodeId = Field(description="The node's id in the fleet; the same after a reinstall.")
    agent_host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; set it to one the control plane reaches, with TLS.",
    )
    agent_port: int = Field(default=8750, ge=1, le=65535, description="Port to listen on.")
    agent_state: Path = Field(
        default=Path(".quartermaster/agent"),
        description="Directory of the agent's memory, workers' logs and secrets; on a local disk,"
        " one for each agent, kept across restarts.",
    )
    agent_token: SecretStr = Field(
        min_length=16, description="Bearer token the control plane must show on every request."
    )
    agent_templates: Path | None = Field(
        default=None, description="YAML file with more launch templates, or others of our names."
    )
    agent_tls_cert: Path | None = Field(
        default=None, description="This node's certificate; with its key turns TLS on."
    )
    agent_tls_key: Path | None = Field(default=None, description="The key of the certificate.")
    agent_tls_ca: Path | None = Field(
        default=None,
        description="Authority that signs the control plane's certificates; asks callers for one.",
    )
    agent_plaintext: bool = Field(
        default=False,
        description="Listen beyond this machine without TLS; only where the network is trusted.",
    )
    virtual_gpus: int = Field(
        default=0, ge=0, le=1024, description="GPUs to pretend, for a node that has none."
    )
    supported_models: Names = Field(
        default=("*",), description="Models this node may serve, comma-separated; * for any."
    )
    environment_allow: Names = Field(
        default=(),
        description="Variables of the agent's environment that workers inherit besides the usual.",
    )
    worker_host: str = Field(
        default="127.0.0.1",
        description="Address workers listen on; one that clients of the models can reach.",
    )
    advertise_host: str | None = Field(
        default=None, description="Name clients reach workers by, when it is not QM_WORKER_HOST."
    )
    contact_lease_s: float = Field(
        default=45.0,
        gt=0,
        le=86_400,
        description="Seconds without a word from the control plane until workers that were started"
        " to stop then are stopped; the control plane must know the same number.",
    )
    log_max_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=4096,
        description="Size of a worker's log at which it is moved aside; one older is kept.",
    )
    boot_id: BootId | None = Field(
        default=None, description="Pretend this boot id: for virtual nodes and tests of a reboot."
    )

    @field_validator("supported_models", "environment_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(
            part.strip() for part in value.strip("[]").replace('"', "").split(",") if part.strip()
        )

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if (self.agent_tls_cert is None) != (self.agent_tls_key is None):
            raise ValueError("QM_AGENT_TLS_CERT and QM_AGENT_TLS_KEY need each other")
        if self.agent_tls_ca is not None and self.agent_tls_cert is None:
            raise ValueError("QM_AGENT_TLS_CA needs QM_AGENT_TLS_CERT")
        mutual = self.agent_tls_ca is not None
        if not (mutual or self.agent_plaintext or _stays_here(self.agent_host)):
            raise ValueError(
                "an agent that listens beyond this machine needs QM_AGENT_TLS_CERT,"
                " QM_AGENT_TLS_KEY and QM_AGENT_TLS_CA, or QM_AGENT_PLAINTEXT=1"
            )
        return self

    def inherited(self) -> tuple[str, ...]:
        """Return the names of what workers inherit; never what is the agent's own."""
        names = (*INHERITED, *self.environment_allow)
        return tuple(name for name in names if not name.startswith("QM_AGENT_"))


def _stays_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
