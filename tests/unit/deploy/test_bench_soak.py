"""What the soak tells of a series: what it gained after it had settled, and whether it goes on."""

import pytest

from deploy.bench.growth import drawn, grown


def over_an_hour(value):
    return [(minute * 60.0, value(minute)) for minute in range(61)]


def test_what_rises_steadily_gains_by_the_hour():
    growth = grown(over_an_hour(lambda minute: 100 + minute / 2))
    assert growth.per_hour == pytest.approx(30, rel=0.1)
    assert growth.gained == pytest.approx(17, abs=1)
    assert growth.peak == 130


def test_what_fills_at_first_and_then_stays_does_not_grow():
    growth = grown(over_an_hour(lambda minute: min(100 + 5 * minute, 150)))
    assert growth.per_hour == growth.gained == 0


def test_one_high_sample_is_a_peak_and_no_growth():
    growth = grown(over_an_hour(lambda minute: 500 if minute == 40 else 100))
    assert (growth.peak, growth.gained, growth.per_hour) == (500, 0, 0)


def test_a_series_is_drawn_from_nothing_to_its_peak():
    assert drawn(over_an_hour(float), width=4) == "▂▄▆█"
    assert drawn([(0.0, 0.0), (1.0, 0.0)]) == "▁▁"
