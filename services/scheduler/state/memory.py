"""Where in the log the latest facts about each thing stand: a few positions by subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.catalogue import types
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.envelope import Recorded

KEPT = 64
SUBJECTS = (
    ("model", "model_id"),
    ("model", "replaced_by"),
    ("node", "node_id"),
    ("gpu", "gpu_uuid"),
)
REMEMBERED = types(
    (
        m.ModelRegistered,
        m.ModelUpdated,
        m.ModelDeleted,
        m.ModelFloorUnmet,
        m.ModelFloorMet,
        m.ModelDeferred,
        q.QueueUnreachable,
        q.QueueRecovered,
        n.NodeRegistered,
        n.NodeUpdated,
        n.NodeDeleted,
        n.NodeCameOnline,
        n.NodeWentOffline,
        n.NodeInventoryChanged,
        g.GpuQuarantined,
        g.GpuReleased,
        i.InstanceStartRequested,
        i.InstanceStartRefused,
        i.InstanceStarted,
        i.InstanceStartFailed,
        i.InstanceStopRequested,
        i.InstanceStopped,
        i.InstanceDied,
    )
)


@dataclass(slots=True)
class Memory:
    """The last KEPT positions by subject; what stands there is read from the log when asked for.

    An instance needs no place here: all about it is in its own stream.
    """

    positions: dict[str, list[int]] = field(default_factory=dict)

    def note(self, event: Recorded) -> None:
        """Take note of where a fact stands, under everything it is about."""
        for kind, name in SUBJECTS:
            if (id_ := event.data.get(name)) is not None:
                known = self.positions.setdefault(f"{kind}/{id_}", [])
                known.append(event.position)
                if len(known) >= 2 * KEPT:
                    del known[:KEPT]

    def of(self, kind: str, id_: str) -> Sequence[int]:
        """Return where the latest facts about a thing stand, in order; empty without any."""
        return self.positions.get(f"{kind}/{id_}", ())[-KEPT:]
