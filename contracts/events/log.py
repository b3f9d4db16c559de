"""The log's facts about itself: what was dropped once it was older than the window."""

from contracts.envelope import Event
from contracts.types import Count, Id, Name


class LogPartitionSealed(Event):
    """A day of telemetry was dropped; this is all that is left of it.

    Of the positions from the first to the last, so many events were its; last_hash (hex) is where
    its own hash chain ended. window_days: how long telemetry was kept at that moment.
    """

    type = "log.partition_sealed"
    partition: Id
    first_position: Count
    last_position: Count
    events: Count
    last_hash: Name
    window_days: Count
