"""The fields of every form."""

from __future__ import annotations

from services.console.decide.forms import Field

NAME = Field("name", "Name", required=True)
DESCRIPTION = Field("description", "Description")
ENVIRONMENT = Field(
    "environment_id", "Environment", "choice", required=True, choices="environments"
)
PARAMETERS = Field(
    "parameters", "Parameters", "json", "A JSON object; what is left out keeps its value."
)
ORDER = Field("order", "Order", "number", "Active strategies are applied from the lowest.")
INSTANCES = (
    Field("min_instances", "At least", "number", "Instances it must always have.", default="1"),
    Field("max_instances", "At most", "number", "Instances it may have when busy.", default="1"),
)
MODEL = (
    DESCRIPTION,
    Field("rabbitmq_host", "Broker host", required=True),
    Field("rabbitmq_port", "Management port", "number", default="15672"),
    Field("rabbitmq_amqp_port", "AMQP port", "number", default="5672"),
    Field("rabbitmq_vhost", "Virtual host", default="/"),
    Field("rabbitmq_queue_name", "Queue", required=True),
    Field("rabbitmq_username", "User", required=True),
    Field("rabbitmq_password", "Password", "password", "Kept encrypted and never shown again."),
    Field(
        "average_inference_time", "Seconds a request", "decimal",
        "What one request takes on one GPU; the length of the queue times this is the wait.",
        required=True,
    ),
    *INSTANCES,
)  # fmt: skip
LAUNCH = (
    Field("launch.template", "Template", help="What agents start; empty for the usual one."),
    Field("launch.parameters", "Its parameters", "json", "A JSON object."),
)
AGENT = Field(
    "agent_url", "Agent", required=True, help="Where its agent listens: http://10.0.0.7:8090"
)
GPUS = Field(
    "available_gpu_ids", "GPUs in use", "numbers", "Indexes with commas between, such as 0, 1, 2."
)
ON_NODE = Field("node_id", "Node", "choice", required=True, choices="nodes", in_body=False)
WHICH_MODEL = Field("model_id", "Model", "choice", required=True, choices="models")
WHICH_GPU = Field("gpu_id", "GPU", "number", "Its index; empty lets the scheduler choose.")
