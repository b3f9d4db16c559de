"""Models as people send them: field names as the first platform had them, and what came since."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from contracts.http.gateway import (
    Body,
    Changes,
    Description,
    NewName,
    NotBool,
    Parameters,
    PortNumber,
    Whole,
)
from contracts.types import Id, Name, OnLostControl

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\[\]-]+$", max_length=200)]
Password = Annotated[SecretStr, Field(max_length=1000)]
InferenceTime = Annotated[float, NotBool, Field(gt=0, le=86_400, allow_inf_nan=False)]
Instances = Annotated[int, NotBool, Field(ge=0, le=10_000)]
AtLeastOne = Annotated[int, NotBool, Field(ge=1, le=10_000)]


class NewLaunch(Body):
    """How a worker is started: a template that agents know, and its parameters."""

    template: Id
    parameters: Parameters = Field(default_factory=dict)


class NewModel(Body):
    """POST /models. `rabbitmq_port` is the Management API's; the password is never readable."""

    name: NewName
    environment_id: Id
    description: Description = ""
    rabbitmq_host: Host
    rabbitmq_port: PortNumber = 15672
    rabbitmq_amqp_port: PortNumber = 5672
    rabbitmq_vhost: Name = "/"
    rabbitmq_queue_name: Name
    rabbitmq_username: Name
    rabbitmq_password: Password | None = None
    average_inference_time: InferenceTime
    launch: NewLaunch | None = None
    min_instances: Instances = 1
    max_instances: AtLeastOne = 1
    on_lost_control: OnLostControl = "serve"


class ModelChanges(Changes):
    """PUT or PATCH /models/{id}; an empty password is none sent, null takes it away."""

    name: NewName = ""
    environment_id: Id = ""
    description: Description = ""
    rabbitmq_host: Host = ""
    rabbitmq_port: PortNumber = 15672
    rabbitmq_amqp_port: PortNumber = 5672
    rabbitmq_vhost: Name = "/"
    rabbitmq_queue_name: Name = ""
    rabbitmq_username: Name = ""
    rabbitmq_password: Password | None = None
    average_inference_time: InferenceTime = 1.0
    launch: NewLaunch | None = None
    min_instances: Instances = 1
    max_instances: AtLeastOne = 1
    on_lost_control: OnLostControl = "serve"


class StartModel(Body):
    """POST /nodes/{id}/models/start: by id, or by name within the node's environment."""

    model_id: Id | None = None
    model_name: NewName | None = None
    gpu_id: Whole | None = None
    config: Parameters = Field(default_factory=dict)


class StopModel(Body):
    """POST /nodes/{id}/models/stop: one instance by id, or by model name and GPU."""

    instance_id: Id | None = None
    model_name: NewName | None = None
    gpu_id: Whole | None = None
