"""The log's time goes on when its database's clock is put back, and is caught up with."""

from datetime import UTC, datetime, timedelta

from services.journal.moments import PACE, Moments

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def test_nothing_is_known_before_the_log_was_seen():
    assert Moments(Hands()).floor() is None


def test_a_clock_that_is_right_is_believed():
    hands = Hands()
    moments = Moments(hands)
    moments.observe(NOON)
    hands.seconds = 60.0
    assert moments.observe(NOON + timedelta(seconds=60)) == NOON + timedelta(seconds=60)


def test_time_goes_on_at_nearly_its_pace_when_the_clock_is_put_back():
    hands = Hands()
    moments = Moments(hands)
    moments.observe(NOON + HOUR)
    hands.seconds = 100.0
    assert moments.observe(NOON + HOUR) == NOON + HOUR + timedelta(seconds=100 * PACE)
    hands.seconds = 200.0
    assert moments.floor() == NOON + HOUR + timedelta(seconds=200 * PACE)


def test_the_clock_catches_up():
    hands = Hands()
    moments = Moments(hands)
    moments.observe(NOON + timedelta(seconds=1))  # a second ahead, and then put right
    for second in range(10, 2010, 10):
        hands.seconds = float(second)
        moments.observe(NOON + timedelta(seconds=second))
    assert moments.observe(NOON + timedelta(seconds=2000)) == NOON + timedelta(seconds=2000)
