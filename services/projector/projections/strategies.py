"""Strategies: which policies decide, in which order, with which parameters."""

from contracts.envelope import Recorded
from contracts.events.strategy import (
    StrategyActivated,
    StrategyConfigured,
    StrategyCreated,
    StrategyDeactivated,
    StrategyDeleted,
)
from services.projector.state import Projection, Row, by, gone, moment


def _created(_row: Row | None, event: Recorded) -> Row:
    data, at = event.data, moment(event.recorded_at)
    return {
        "strategy_id": data["strategy_id"],
        "name": data["name"],
        "policy": data["policy"],
        "description": data.get("description", ""),
        "parameters": data.get("parameters", {}),
        "order": data.get("order", 0),
        "active": data.get("active", False),
        "created_at": at,
        "updated_at": at,
        "version": event.version,
    }


def _changed(row: Row | None, event: Recorded, **changes: object) -> Row | None:
    if row is None:
        return None
    return {
        **row,
        **changes,
        "updated_at": moment(event.recorded_at),
        "version": event.version,
    }


def _configured(row: Row | None, event: Recorded) -> Row | None:
    data = event.data
    return _changed(
        row,
        event,
        description=data.get("description", ""),
        parameters=data.get("parameters", {}),
        order=data.get("order", 0),
    )


def _activated(row: Row | None, event: Recorded) -> Row | None:
    return _changed(row, event, active=True)


def _deactivated(row: Row | None, event: Recorded) -> Row | None:
    return _changed(row, event, active=False)


STRATEGIES = Projection(
    name="strategies",
    spread=by("strategy_id"),
    on={
        StrategyCreated: _created,
        StrategyConfigured: _configured,
        StrategyActivated: _activated,
        StrategyDeactivated: _deactivated,
        StrategyDeleted: gone,
    },
)
