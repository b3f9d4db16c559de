"""Where events of some types are looked for."""

from __future__ import annotations

import pytest

from services.query.routes.log import events_of


@pytest.mark.parametrize(
    ("types", "name"),
    [
        (None, "events"),
        (["gpu.freed", "instance.died"], "fact_events"),
        (["queue.sampled", "node.heartbeat"], "telemetry_events"),
        (["queue.sampled", "gpu.freed"], "events"),
        (["no.such.type"], "events"),
        (["no.such.type", "gpu.freed"], "events"),
    ],
)
def test_only_the_part_of_the_log_that_can_have_a_type_is_looked_at(types, name):
    assert events_of(types) == name
