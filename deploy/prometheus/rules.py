"""When somebody must be woken about the platform itself; about the fleet, the alerter tells."""

from dataclasses import dataclass
from typing import Any, Literal

from deploy.grafana import metrics as m

Severity = Literal["critical", "warning"]
WINDOW = "5m"
KEPT_BACK = '{quartermaster_gpu_state=~"quarantined|foreign_process"}'
OURS = '{service_name="gateway", http_response_status_code=~"5.."}'


@dataclass(frozen=True)
class Rule:
    """One alert: when, for how long before it is raised, and what it means."""

    name: str
    when: str
    lasting: str
    severity: Severity
    summary: str
    do: str

    def as_dict(self) -> dict[str, Any]:
        """Return it in the form of Prometheus."""
        return {
            "alert": self.name,
            "expr": self.when,
            "for": self.lasting,
            "labels": {"severity": self.severity, "service": "quartermaster"},
            "annotations": {"summary": self.summary, "description": self.do},
        }


_BAD = m.HTTP.rate(where=OURS, window=WINDOW)
_EVERY = m.HTTP.rate(where='{service_name="gateway"}', window=WINDOW)
RULES: tuple[Rule, ...] = (
    Rule(
        "QuartermasterServiceUnwell",
        f"{m.HEALTHY.most(m.SERVICE)} == 0",
        "1m",
        "critical",
        "{{ $labels.service_name }} says that it is not well",
        "Ask its health endpoint which part, and read its log.",
    ),
    Rule(
        "QuartermasterJournalSilent",
        f'absent({m.HEALTHY.series}{{service_name="journal"}})',
        "2m",
        "critical",
        "No journal tells anything",
        "Nothing is recorded while none runs: start one, or look at the collector.",
    ),
    Rule(
        "QuartermasterFollowerBehind",
        f"{m.LAG.most(m.FOLLOWER)} > 1000",
        "2m",
        "warning",
        "{{ $labels.quartermaster_follower }} is {{ $value }} events behind the log",
        "It decides on, or shows, the past. Look at its CPU and its log.",
    ),
    Rule(
        "QuartermasterNotPublished",
        f"{m.PUBLISH_LAG.most()} > 1000",
        "1m",
        "critical",
        "{{ $value }} recorded events are not published",
        "The broker is away or full: look at its alarms.",
    ),
    Rule(
        "QuartermasterAppendsSlow",
        f"{m.APPEND.quantile(0.99, window=WINDOW)} > 1",
        "5m",
        "warning",
        "1 of 100 appends takes over a second",
        "Look at the database: disk, locks, and whoever else works in it.",
    ),
    Rule(
        "QuartermasterDoorBroken",
        f"{_BAD} / {_EVERY} > 0.05",
        "5m",
        "critical",
        "The gateway answers more than 1 of 20 requests with an error of ours",
        "Read its log; each problem's trace_id leads to its trace.",
    ),
    Rule(
        "QuartermasterGpusQuarantined",
        f"{m.GPUS.most(m.GPU_STATE, where=KEPT_BACK)} > 0",
        "10m",
        "warning",
        "{{ $value }} GPUs are kept back: {{ $labels.quartermaster_gpu_state }}",
        "`quartermaster explain gpu/UUID` says why.",
    ),
    Rule(
        "QuartermasterStartsFail",
        m.DEPLOY.rate(where='{quartermaster_event_type="instance.start_failed"}', window=WINDOW)
        + " > 0",
        "10m",
        "warning",
        "Instances fail to start, again and again",
        "`quartermaster events -f` shows the code and the worker's last words.",
    ),
)


def as_document() -> dict[str, Any]:
    """Return the file that Prometheus reads."""
    return {"groups": [{"name": "quartermaster", "rules": [each.as_dict() for each in RULES]}]}
