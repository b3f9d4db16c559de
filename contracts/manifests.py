"""Manifests: what should be there, written down in YAML, any number of documents in a file.

Fields have the names of the HTTP API. What is left out is left as it is, or as it comes by default
where the thing is new. A secret is never written down: its source is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from contracts.events.alert import WebhookKind
from contracts.http.gateway import Body, Description, NewName, Parameters, PortNumber, Whole
from contracts.http.models import AtLeastOne, Host, InferenceTime, Instances, NewLaunch
from contracts.http.nodes import AgentUrl, GpuIds, with_agent_url
from contracts.http.webhooks import WebhookUrl
from contracts.types import Id, Name, OnLostControl

Version = Annotated[
    Literal["quartermaster/v1"], Field(description="May be left out; there is this one so far.")
]


class Variable(Body):
    """An environment variable of whoever applies the manifest."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class Secret(Body):
    """Where a secret comes from, so that it stands in no file: `valueFrom: {env: NAME}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    value_from: Annotated[Variable, Field(alias="valueFrom")]

    @model_validator(mode="before")
    @classmethod
    def _not_written_down(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError("a secret is not written down: use valueFrom: {env: NAME}")  # noqa: TRY004 (pydantic's way)
        return given


class EnvironmentSpec(Body):
    """An environment."""

    description: Description = ""


class ModelSpec(Body):
    """A model and its queue, as POST /models has them."""

    description: Description = ""
    rabbitmq_host: Host
    rabbitmq_port: PortNumber = 15672
    rabbitmq_amqp_port: PortNumber = 5672
    rabbitmq_vhost: Name = "/"
    rabbitmq_queue_name: Name
    rabbitmq_username: Name
    rabbitmq_password: Secret | None = None
    average_inference_time: InferenceTime
    launch: NewLaunch | None = None
    min_instances: Instances = 1
    max_instances: AtLeastOne = 1
    on_lost_control: OnLostControl = "serve"


class NodeSpec(Body):
    """A node, as POST /nodes has it; `host` and `port` may stand for `agent_url`."""

    agent_url: AgentUrl
    available_gpu_ids: GpuIds = ()
    capabilities: Parameters = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _host_and_port(cls, given: Any) -> Any:
        return with_agent_url(given)


class StrategySpec(Body):
    """A strategy; its policy is its name where it is left out, and never changes."""

    policy: Id | None = None
    description: Description = ""
    parameters: Parameters = Field(default_factory=dict)
    order: Whole = 0
    active: bool = False


class WebhookSpec(Body):
    """A webhook, known by its address; without a secret one is made, and shown once.

    kind: alertmanager is the address of an Alertmanager, which takes a bearer token.
    """

    url: WebhookUrl
    kind: WebhookKind = "standard"
    secret: Secret | None = None
    bearer_token: Secret | None = None


class _Manifest(Body):
    """What every document has in common."""

    api_version: Annotated[Version, Field(alias="apiVersion")] = "quartermaster/v1"


class EnvironmentManifest(_Manifest):
    """An environment, known by its name."""

    kind: Literal["Environment"]
    name: NewName
    spec: EnvironmentSpec = Field(default_factory=EnvironmentSpec)


class ModelManifest(_Manifest):
    """A model, known by its name within its environment, which is named too."""

    kind: Literal["Model"]
    name: NewName
    environment: NewName
    spec: ModelSpec


class NodeManifest(_Manifest):
    """A node, known by its name; it moves when another environment is named."""

    kind: Literal["Node"]
    name: NewName
    environment: NewName
    spec: NodeSpec


class StrategyManifest(_Manifest):
    """A scheduling strategy, known by its name."""

    kind: Literal["Strategy"]
    name: NewName
    spec: StrategySpec = Field(default_factory=StrategySpec)


class WebhookManifest(_Manifest):
    """A webhook."""

    kind: Literal["Webhook"]
    spec: WebhookSpec

    @property
    def name(self) -> str:
        """What it is known by."""
        return self.spec.url


Manifest = EnvironmentManifest | NodeManifest | ModelManifest | StrategyManifest | WebhookManifest
MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Annotated[Manifest, Field(discriminator="kind")])
# Also the order they are applied in: a thing comes after what it stands in.
KINDS = ("Environment", "Node", "Model", "Strategy", "Webhook")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of one document, as editors take it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quartermaster manifest",
        "description": "One document of a file for `quartermaster apply -f`.",
        **MANIFEST.json_schema(),
    }
