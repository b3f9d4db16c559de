"""The metrics of the platform, as Prometheus knows them, and what can be asked about them.

Names follow the translation that Prometheus does with OTLP: dots to underscores, units as suffixes,
`_total` for what only grows. A test compares this list with what the services really send.
"""

from dataclasses import dataclass
from typing import Literal

SUFFIXES = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}
RATE = "$__rate_interval"
SERVICE = "service_name"


@dataclass(frozen=True)
class Metric:
    """One metric: its OpenTelemetry name and unit, and the attributes that may be asked for."""

    name: str
    unit: str
    kind: Literal["gauge", "sum", "histogram"]
    attributes: tuple[str, ...] = ()

    @property
    def series(self) -> str:
        """Return what Prometheus calls it, without a histogram's endings."""
        suffix = SUFFIXES.get(self.unit, "")
        if self.kind != "gauge" and self.unit == "1":
            suffix = ""
        total = "_total" if self.kind == "sum" else ""
        return self.name.replace(".", "_") + suffix + total

    def most(self, *by: str, where: str = "") -> str:
        """Return a query for the highest of what several processes say, by attributes."""
        return f"max by ({self._labels(by)}) ({self.series}{where})"

    def rate(self, *by: str, where: str = "", window: str = RATE) -> str:
        """Return a query for how many a second."""
        series = self.series + ("_count" if self.kind == "histogram" else "")
        return f"sum by ({self._labels(by)}) (rate({series}{where}[{window}]))"

    def quantile(self, share: float, *by: str, where: str = "", window: str = RATE) -> str:
        """Return a query for what a share of all stays below."""
        labels = self._labels((*by, "le"))
        inner = f"sum by ({labels}) (rate({self.series}_bucket{where}[{window}]))"
        return f"histogram_quantile({share}, {inner})"

    def _labels(self, by: tuple[str, ...]) -> str:
        unknown = set(by) - {*self.attributes, SERVICE, "le"}
        if unknown:
            raise ValueError(f"{self.name} has no {', '.join(sorted(unknown))}")
        return ", ".join(label(each) for each in by)


def label(attribute: str) -> str:
    """Return what Prometheus calls an attribute."""
    return attribute.replace(".", "_")


VERDICT = "quartermaster.verdict"
FOLLOWER = "quartermaster.follower"
MODEL_QUEUE = "messaging.destination.name"
GPU_STATE, INSTANCE_STATE = "quartermaster.gpu.state", "quartermaster.instance.state"
NODE_STATE, NODE = "quartermaster.node.state", "quartermaster.node.id"
KIND, OUTCOME = "quartermaster.deploy.kind", "quartermaster.event.type"
ROUTE, STATUS = "http.route", "http.response.status_code"

HEALTHY = Metric("quartermaster.service.healthy", "{service}", "gauge")
LAG = Metric("quartermaster.follower.lag", "{event}", "gauge", (FOLLOWER,))
PUBLISH_LAG = Metric("quartermaster.journal.publish.lag", "{event}", "gauge")
APPEND = Metric("quartermaster.journal.append.duration", "s", "histogram")
APPENDED = Metric("quartermaster.journal.append.events", "{event}", "histogram")
JUDGED = Metric("quartermaster.journal.proposals", "{proposal}", "sum", (VERDICT,))
DECISION = Metric("quartermaster.scheduler.decision.duration", "s", "histogram")
DECIDED = Metric("quartermaster.scheduler.proposals", "{proposal}", "sum", (VERDICT,))
DEPLOY = Metric("quartermaster.deploy.duration", "s", "histogram", (KIND, OUTCOME))
QUEUE = Metric("quartermaster.queue.length", "{message}", "gauge", (MODEL_QUEUE,))
GPUS = Metric("quartermaster.gpus", "{gpu}", "gauge", (GPU_STATE,))
INSTANCES = Metric("quartermaster.instances", "{instance}", "gauge", (INSTANCE_STATE,))
NODES = Metric("quartermaster.nodes", "{node}", "gauge", (NODE_STATE,))
GPU_BUSY = Metric("hw.gpu.utilization", "1", "gauge", (NODE, "hw.id"))
GPU_USED = Metric("hw.gpu.memory.usage", "By", "gauge", (NODE, "hw.id"))
GPU_MEMORY = Metric("hw.gpu.memory.limit", "By", "gauge", (NODE, "hw.id"))
HTTP = Metric("http.server.request.duration", "s", "histogram", (ROUTE, STATUS))

METRICS = (
    HEALTHY,
    LAG,
    PUBLISH_LAG,
    APPEND,
    APPENDED,
    JUDGED,
    DECISION,
    DECIDED,
    DEPLOY,
    QUEUE,
    GPUS,
    INSTANCES,
    NODES,
    GPU_BUSY,
    GPU_USED,
    GPU_MEMORY,
    HTTP,
)
