"""Unique names: whose each is; a released name stays, with the version to claim it again at."""

from collections.abc import Iterable

from contracts.envelope import Recorded
from contracts.events.control import NameClaimed, NameReleased
from services.projector.state import Projection, Row, moment


def _spread(event: Recorded) -> Iterable[tuple[str, Recorded]]:
    return ((f"{event.data['kind']}/{event.data['name']}", event),)


def _named(event: Recorded, owner: str | None) -> Row:
    return {
        "kind": event.data["kind"],
        "name": event.data["name"],
        "owner": owner,
        "claimed": owner is not None,
        "since": moment(event.recorded_at),
        "version": event.version,
    }


def _claimed(_row: Row | None, event: Recorded) -> Row:
    return _named(event, event.data["owner"])


def _released(_row: Row | None, event: Recorded) -> Row:
    return _named(event, None)


NAMES = Projection(
    name="names", spread=_spread, on={NameClaimed: _claimed, NameReleased: _released}
)
