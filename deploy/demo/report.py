"""The report of a run: what was published, served, lost and waited for, and what the log says."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.errors import DemoError
from deploy.demo.messages import Result


@dataclass(frozen=True)
class Waits:
    """Waits of requests in trace seconds; None where nothing was served."""

    p50: float | None
    p95: float | None
    mean: float | None


@dataclass(frozen=True)
class Report:
    """What a run of the demo came to. Waits are told in trace seconds, everything else as it is."""

    ready_s: float
    requests_published: int
    requests_served: int
    requests_lost: int
    requests_repeated: int
    wait_p50_s: float | None
    wait_p95_s: float | None
    wait_mean_s: float | None
    instances_started: int
    instances_replaced: int
    events_recorded: int
    refused_bad_proposal: int
    refused_because: str
    parked_others: int
    log_verified: bool
    log_checked: int
    models: int
    models_floor_met: int
    speed: float
    trace: str
    trace_s: float
    run_s: float
    restarts: Mapping[str, int] = field(default_factory=dict)
    served_by_model: Mapping[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def wrong(self) -> list[str]:
        """Return what is not as promised, each with what to do next; empty when all is well."""
        findings = (
            (self.requests_lost, f"{self.requests_lost} requests were lost"),
            (not self.log_verified, "the log does not verify: run `quartermaster log verify`"),
            (self.refused_bad_proposal != 1, "the bad proposal was not refused"),
            (
                self.parked_others,
                f"{self.parked_others} messages are parked: the journal's log says why",
            ),
        )
        return [sentence for broken, sentence in findings if broken]

    def write(self, file: Path) -> None:
        """Write the report as JSON, whole or not at all."""
        beside = file.with_name(f".{file.name}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(asdict(self), indent=2) + "\n")
            beside.replace(file)
        except OSError as error:
            raise DemoError(f"report={file} cannot be written: {error}") from error


def waits_of(results: Iterable[Result], speed: float) -> Waits:
    """Return how long requests waited for a worker, in trace seconds."""
    waits = [max(0.0, result.begun_at - result.published_at) * speed for result in results]
    if not waits:
        return Waits(None, None, None)
    mean = round(math.fsum(waits) / len(waits), 1)
    return Waits(round(quantile(waits, 0.5), 1), round(quantile(waits, 0.95), 1), mean)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def lost(published: Mapping[str, Any], served: Mapping[str, Any]) -> list[str]:
    """Return the ids that were published and never served, in order of publishing."""
    return [request for request in published if request not in served]
