"""Causes: what each event led to; the way back is in the event itself."""

from collections.abc import Iterable

from contracts.catalogue import CATALOGUE
from contracts.envelope import Recorded
from services.projector.state import Row, Series


def _cause(event: Recorded) -> Iterable[str]:
    cause = event.meta.causation_id
    return () if cause is None else (cause,)


def _nothing(_event: Recorded) -> Row:
    return {}


CAUSES = Series(
    name="causes",
    key=_cause,
    on={entry.event: _nothing for entry in CATALOGUE.values() if entry.retention == "fact"},
)
