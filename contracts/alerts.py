"""ALERT RULES as data: what each watches, how grave it is, and its limits with their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that a rule goes by; its name ends in its unit. about: why one would change it."""

    default: float
    least: float
    most: float
    about: str


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """What a rule watches, and its limits by name."""

    about: str
    limits: Mapping[str, Limit]

    @property
    def defaults(self) -> dict[str, float]:
        """Return every limit as it is unless somebody changed it."""
        return {name: limit.default for name, limit in self.limits.items()}


class BadLimits(ValueError):
    """Limits do not fit their rule; `problems` are (field, message)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))


def _calm(seconds: float) -> dict[str, Limit]:
    about = "It must be over for so long before it is resolved; longer where it comes and goes."
    return {"calm_s": Limit(seconds, 0, DAY_S, about)}


def _lag(of: str) -> dict[str, Limit]:
    return {"behind_s": Limit(30, 1, DAY_S, f"How far behind {of} may be."), **_calm(30)}


RULES: Mapping[str, RuleSpec] = {
    "agent_lost": RuleSpec(
        "An agent is unheard for long while instances of ours may run there, out of control.",
        {
            "lost_s": Limit(300, 1, 7 * DAY_S, "How long it is only offline; reboots take less."),
            **_calm(0),
        },
    ),
    "fleet_silence": RuleSpec(
        "So many nodes fell silent at once that we suspect ourselves.", _calm(30)
    ),
    "gpu_quarantined": RuleSpec("A GPU may not be used: something unknown may run on it.", {}),
    "instance_stuck": RuleSpec(
        "An instance is starting or ending for far longer than that takes, and holds its GPU.",
        {
            "start_s": Limit(3600, 60, 7 * DAY_S, "Longer than your slowest model loads."),
            "stop_s": Limit(300, 30, 7 * DAY_S, "Longer than a worker's grace and its killing."),
            **_calm(0),
        },
    ),
    "journal_lag": RuleSpec("What is recorded reaches nobody for long.", _lag("publishing")),
    "messages_parked": RuleSpec(
        "Messages are parked that the journal could not read or that came too often.",
        {
            "messages": Limit(0, 0, 1e6, "So many are no alert yet."),
            **_calm(30),
        },
    ),
    "model_floor": RuleSpec("A model has fewer instances than its floor.", _calm(30)),
    "node_offline": RuleSpec("A node's agent does not answer.", _calm(30)),
    "projector_lag": RuleSpec(
        "What people read is old: the read models are far behind the log.", _lag("the read models")
    ),
    "queue_growth": RuleSpec(
        "A queue is far longer than in the time before.",
        {
            "factor": Limit(2, 1, 1000, "How many times longer than before is abnormal."),
            "messages": Limit(10, 0, 1e9, "A mean length that is never abnormal; more is quieter."),
        },
    ),
    "queue_unreachable": RuleSpec("A model's queue cannot be read.", _calm(30)),
}


def check_limits(rule: str, limits: Mapping[str, float]) -> dict[str, float]:
    """Return these limits of a rule; raises BadLimits, naming every one that does not fit."""
    known, problems = RULES[rule].limits, []
    for name, value in limits.items():
        if name not in known:
            problems.append((name, f"{rule} has no such limit"))
        elif not known[name].least <= value <= known[name].most:
            problems.append((name, f"{known[name].least:g} to {known[name].most:g} is wanted"))
    if problems:
        raise BadLimits(problems)
    return dict(limits)
