"""The policies a strategy can name: one file and one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from services.scheduler.policies.busy_queue_scaling import busy_queue_scaling

if TYPE_CHECKING:
    from services.scheduler.state.plan import Plan


class Policy(Protocol):
    """Adds what it wants to a plan, on what the strategies before it left."""

    def __call__(self, plan: Plan, parameters: Any) -> None:
        """Plan starts and stops; `parameters` are the policy's own, validated."""


POLICIES: dict[str, Policy] = {
    "busy_queue_scaling": busy_queue_scaling,
}
