"""The fields of every form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.roles import GRANTABLE, ROLES
from services.console.decide.forms import Field
from services.console.decide.spoken import quantity, words

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = Field("name", "Name", required=True)
DESCRIPTION = Field("description", "Description", emptied='""')
ENVIRONMENT = Field(
    "environment_id", "Environment", "choice", required=True, choices="environments"
)
PARAMETERS = Field(
    "parameters",
    "Parameters",
    "json",
    "A JSON object; what is left out keeps its value, and null is as it was at first.",
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
    "agent_url", "Agent", required=True, help="Where its agent listens: http://10.0.0.7:8750"
)
GPUS = Field(
    "available_gpu_ids",
    "GPUs in use",
    "numbers",
    "Indexes with commas between, such as 0, 1, 2.",
    emptied="[]",
)
ON_NODE = Field("node_id", "Node", "choice", required=True, choices="nodes", in_body=False)
WHICH_MODEL = Field("model_id", "Model", "choice", required=True, choices="models")
WHICH_GPU = Field("gpu_id", "GPU", "number", "Its index; empty lets the scheduler choose.")

PASSWORD = Field("password", "Password", "password", "At least 12 characters.", required=True)
PEOPLE = tuple((each, each) for each in ROLES if each != "agent")
ROLE = Field(
    "role", "Role", "choice", "A viewer looks, an operator acts, an admin also sets things up.",
    required=True, options=PEOPLE, default="viewer",
)  # fmt: skip
KEY = (
    Field("name", "Name", required=True, help="Stands in the log as who did what."),
    Field(
        "role", "Role", "choice", "No more than yours; an agent may only say that it is there.",
        required=True, options=[(each, each) for each in ROLES], default="viewer",
    ),
    Field(
        "permissions", "Narrowed to", "several", "None of them: all that the role may.",
        options=[(each, each) for each in GRANTABLE],
    ),
    Field(
        "expires_in_days", "Ends", "value", required=True, default="90",
        options=(("7", "after 7 days"), ("30", "after 30 days"), ("90", "after 90 days"),
                 ("365", "after a year"), ("null", "never")),
    ),
)  # fmt: skip
SILENCE = (
    Field("rule", "Rule", "choice", "Empty: all of them.", choices="rules"),
    Field("subject", "About", help="The id of a node, model or GPU; empty: all of them."),
    Field("until", "For", "choice", required=True, choices="lengths"),
    Field("because", "Because", help="Whoever wonders why nobody was told reads it."),
)
WEBHOOK = (
    Field("url", "Address", required=True),
    Field(
        "kind", "Receiver", "choice", required=True, default="standard",
        options=(("standard", "anything that takes signed CloudEvents"),
                 ("alertmanager", "an Alertmanager")),
    ),
    Field("secret", "Signing secret", "password", "Yours, as whsec_...; empty makes one and shows"
          " it once. An Alertmanager takes none."),
    Field("bearer_token", "Bearer token", "password", "Where an Alertmanager wants one."),
)  # fmt: skip
MESSAGE = Field("message_id", "Message", "hidden", required=True, in_body=False)


def limits_of(rule: Mapping[str, Any]) -> list[Field]:
    """Return a field for every limit of an alert rule, with its bounds and what is usual."""
    return [_limit(name, each) for name, each in (rule.get("bounds") or {}).items()]


def _limit(name: str, bound: Mapping[str, Any]) -> Field:
    least, most, usual = (quantity(name, bound[each]) for each in ("least", "most", "default"))
    unit = " (seconds)" if name.endswith("_s") else ""
    return Field(
        f"limits.{name}",
        words(name.removesuffix("_s")).capitalize() + unit,
        "decimal",
        f"{bound['about']} {least} to {most}; {usual} unless it is set.",
        emptied="null",
    )
