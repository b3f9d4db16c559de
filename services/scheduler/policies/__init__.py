"""The policies a strategy can name: one file and one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from services.scheduler.policies.busy_queue_scaling import busy_queue_scaling, numbers_by_model

if TYPE_CHECKING:
    from services.scheduler.state.plan import Numbers, Plan


class Policy(Protocol):
    """Adds what it wants to a plan, on what the strategies before it left."""

    def __call__(self, plan: Plan, parameters: Any) -> None:
        """Plan starts and stops; `parameters` are the policy's own, validated."""


class Measure(Protocol):
    """Tells the numbers a policy judges models by, without planning anything."""

    def __call__(self, plan: Plan, parameters: Any) -> dict[str, Numbers]:
        """Return them by model, whoever the policy would serve first coming first."""


POLICIES: dict[str, Policy] = {
    "busy_queue_scaling": busy_queue_scaling,
}
MEASURES: dict[str, Measure] = {
    "busy_queue_scaling": numbers_by_model,
}
