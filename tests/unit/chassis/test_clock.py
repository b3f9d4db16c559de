"""The log's clock: the log's time, whatever the machine's own clock says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.clock import LogClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Machine:
    """A machine's clock that is wrong, and a monotonic one that is not."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.ahead, self.seconds = ahead, 0.0

    def now(self) -> datetime:
        return NOON + self.ahead + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_wrong_machine_clock_does_not_change_the_logs_time(hours):
    machine = Machine(timedelta(hours=hours))
    clock = LogClock(machine)
    clock.observe(NOON)
    machine.seconds = 5
    assert clock.now() == NOON + timedelta(seconds=5)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-1000, 1000)), max_size=30))
def test_the_logs_time_never_goes_back_nor_behind_what_was_seen(steps):
    machine = Machine(timedelta(days=30))
    clock = LogClock(machine)
    clock.observe(NOON)
    last = clock.now()
    for seconds, offset_s in steps:
        machine.seconds += seconds
        recorded_at = last + timedelta(seconds=offset_s)
        clock.observe(recorded_at)
        assert clock.now() >= max(last, recorded_at)
        last = clock.now()
