"""What no history may show is named where it shows, and what is sound passes."""

from datetime import UTC, datetime

import orjson
import pytest

from contracts.events.control import LeaseAcquired
from contracts.events.gpu import GpuAllocated, GpuFreed, GpuQuarantined
from contracts.events.instance import InstanceStartRequested, InstanceStopped
from contracts.events.node import NodeInventoryChanged
from contracts.types import Gpu, Launch, Reason
from services.journal.invariants import Invariants

GPU = {"gpu_uuid": "GPU-1", "node_id": "n1"}
ONE = {**GPU, "model_id": "m", "instance_id": "i-1"}
TWO = {**ONE, "instance_id": "i-2"}
KNOWN = NodeInventoryChanged(
    node_id="n1", boot_id="b", gpus=[Gpu(uuid="GPU-1", index=0)], supported_models=("*",)
)


def started(**where):
    return InstanceStartRequested(
        **where,
        model_name="m",
        gpu_index=0,
        boot_id="b",
        launch=Launch(template="worker"),
        reason=Reason(code="below_floor"),
    )


def freed(instance_id="i-1"):
    return GpuFreed(**GPU, instance_id=instance_id, because="stopped")


def broken_by(*events, lease=None):
    """Return the names of the promises that a history breaks, in order."""
    invariants, names = Invariants(), []
    for position, event in enumerate(events, 1):
        meta = {} if lease is None or event.type == "lease.acquired" else lease
        row = {
            "position": position,
            "type": event.type,
            "data": orjson.dumps(event.model_dump(mode="json")),
            "meta": orjson.dumps(meta),
            "telemetry": None,
            "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        names += [found.invariant for found in invariants.apply(row)]
    return names


def test_a_gpu_that_is_given_used_and_given_again_breaks_nothing():
    life = (GpuAllocated(**ONE), started(**ONE), InstanceStopped(**ONE), freed())
    assert broken_by(KNOWN, *life, GpuAllocated(**TWO), started(**TWO)) == []


@pytest.mark.parametrize(
    ("events", "name"),
    [
        ((GpuAllocated(**ONE), GpuAllocated(**TWO)), "G1"),
        ((started(**ONE),), "G1"),
        ((GpuAllocated(**ONE), started(**ONE), started(**ONE)), "G1"),
        ((GpuAllocated(**ONE), started(**ONE), freed()), "G3"),
        ((GpuAllocated(**ONE), started(**ONE), InstanceStopped(**TWO)), "I1"),
        ((GpuQuarantined(**GPU, because="unknown"), GpuAllocated(**ONE)), "G4"),
    ],
)
def test_what_may_never_be_is_named(events, name):
    assert broken_by(KNOWN, *events) == [name]


def test_a_gpu_that_no_inventory_knows_is_not_given():
    assert broken_by(GpuAllocated(**ONE)) == ["G4"]


def test_who_led_before_is_not_heard():
    leads = [LeaseAcquired(name="scheduler", epoch=n, holder="h") for n in (1, 2)]
    old = {"lease": "scheduler", "epoch": 1}
    assert broken_by(*leads, KNOWN, lease=old) == ["L5"]
    assert broken_by(leads[1]) == ["L5"]
