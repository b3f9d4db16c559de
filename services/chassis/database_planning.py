"""How the server plans the statements of each role, where its defaults do not suit."""

from __future__ import annotations

from collections.abc import Mapping

# Small answers out of big tables, whose best plan depends on what is asked: planned each time,
# which takes a millisecond, and never compiled or spread over workers, which takes many.
_SHORT_READS = {
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

BY_SERVICE: Mapping[str, Mapping[str, str]] = {"query": _SHORT_READS}


def planning_of(service: str) -> Mapping[str, str]:
    """Return the planner's settings for a service's connections, by PostgreSQL's names."""
    return BY_SERVICE.get(service, {})
