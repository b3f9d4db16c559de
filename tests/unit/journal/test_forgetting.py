"""The telemetry window: which days go, in which order, and what is said of them."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.memory import MemoryBroker
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Forgetting, Journal
from services.journal.window import Measured, Partition, expired, fact, forget

NOW = datetime.now(UTC)


def days(*ago: int) -> list[Partition]:
    found = [NOW.date() - timedelta(days=each) for each in ago]
    return [Partition(f"telemetry_{day:%Y%m%d}", day) for day in found]


@given(st.integers(1, 400), st.integers(-10, 500))
def test_nothing_younger_than_the_window_is_dropped(window_days, ago):
    end = datetime.combine(NOW.date() - timedelta(days=ago - 1), datetime.min.time(), UTC)
    if expired(days(ago), NOW, window_days):
        assert NOW - end >= timedelta(days=window_days) - timedelta(hours=24)
        assert end <= NOW - timedelta(days=window_days) + timedelta(hours=24)
        assert ago > window_days


def test_a_day_that_ended_before_the_window_began_goes():
    assert expired(days(32, 31, 30, 29), NOW, 30) == days(32, 31)


class Log:
    """Days, what each holds, and what became of them."""

    def __init__(self, *ago: int, events: int = 5) -> None:
        self.there = days(*ago)
        self.events = events
        self.dropped: list = []

    async def partitions(self):
        return list(self.there)

    async def measured(self, partition):
        if not self.events:
            return None
        place = [each.name for each in self.there].index(partition)
        return Measured(partition, place * 10 + 1, place * 10 + 5, self.events, b"\x01" * 32)

    async def drop(self, partition, sealing):
        self.dropped.append((partition, sealing))
        return True


async def test_days_go_oldest_first_each_with_the_fact_that_seals_it():
    log = Log(40, 35, 10)
    gone = await forget(log, NOW, window_days=30, published=100)
    assert gone == [each.name for each in days(40, 35)]
    entry = log.dropped[0][1][1].entries[0]
    assert (entry.stream, entry.expected) == (f"partition/{days(40)[0].name}", 0)
    assert orjson.loads(entry.data) == {
        "partition": days(40)[0].name,
        "first_position": 1,
        "last_position": 5,
        "events": 5,
        "last_hash": "01" * 32,
        "window_days": 30,
    }


async def test_what_is_not_published_stays_and_so_does_all_behind_it():
    log = Log(40, 39, 38)
    assert await forget(log, NOW, window_days=30, published=14) == [days(40)[0].name]


async def test_an_empty_day_goes_without_a_word():
    log = Log(40, events=0)
    assert await forget(log, NOW, window_days=30, published=0) == [days(40)[0].name]
    assert log.dropped == [(days(40)[0].name, None)]


class Stands:
    """A clock that stands so many days from now."""

    def __init__(self, days_ahead: int) -> None:
        self._now = NOW + timedelta(days=days_ahead)

    def now(self) -> datetime:
        return self._now


@pytest.mark.parametrize(("journal_ahead", "log_ahead"), [(300, 0), (0, 300), (0, 0)])
async def test_a_clock_that_is_far_ahead_drops_nothing(journal_ahead, log_ahead):
    days_there = Log(40, 10)
    journal = Journal(
        MemoryBroker().bus("journal"),
        MemoryLog(Stands(log_ahead)),
        Stands(journal_ahead),
        forgetting=Forgetting(days_there, 30),
    )
    days_there.events = 0
    await journal._forget()
    assert [name for name, _ in days_there.dropped] == [days(40)[0].name]


def test_two_seals_of_one_day_cannot_both_be_recorded():
    measured = Measured("telemetry_20260325", 1, 5, 5, b"x")
    one, other = fact(measured, NOW, 30), fact(measured, NOW, 30)
    assert one.entries[0].stream == other.entries[0].stream
    assert one.entries[0].event_id != other.entries[0].event_id
    assert one.entries[0].expected == 0
