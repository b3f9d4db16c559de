"""Environments: one row each, as they are now."""

from contracts.envelope import Recorded
from contracts.events.environment import (
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentUpdated,
)
from services.projector.state import Projection, Row, by, gone, moment


def _put(row: Row | None, event: Recorded) -> Row:
    data, at = event.data, moment(event.recorded_at)
    return {
        "environment_id": data["environment_id"],
        "name": data["name"],
        "description": data.get("description", ""),
        "created_at": row["created_at"] if row else at,
        "updated_at": at,
        "version": event.version,
    }


ENVIRONMENTS = Projection(
    name="environments",
    spread=by("environment_id"),
    on={EnvironmentCreated: _put, EnvironmentUpdated: _put, EnvironmentDeleted: gone},
)
