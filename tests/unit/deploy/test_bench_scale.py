"""What the benchmark of scale tells: lags by hop, growth by size, passes over a whole fleet."""

from math import isnan

import pytest

from deploy.bench.alone import Alone, Size, Took, exponent
from deploy.bench.crowd import Crowd
from deploy.bench.passage import Passage, folded, passes


def a_size(nodes, ms):
    return Size(nodes, 1, {"any": Took(wall=[1000.0], own=[ms, ms])})


def test_growth_in_proportion_is_one_and_none_at_all_is_zero():
    assert exponent([a_size(n, n / 100) for n in (1000, 2500, 10000)]) == pytest.approx(1)
    assert exponent([a_size(n, 5.0) for n in (1000, 2500, 10000)]) == pytest.approx(0)
    assert isnan(exponent([a_size(1000, 1.0)]))


def test_an_event_reaches_a_hop_when_its_position_is_first_reached_there():
    passage = Passage(
        events=[(1, 10.0, 10.1, 10.2), (2, 10.0, 10.1, 10.3), (3, 10.0, 10.4, 10.5)],
        projected=[(0, 9.0), (2, 11.0)],
    )
    lags = passage.lags([(2, 10.5), (3, 10.75)], after=1)
    assert lags["recorded"] == pytest.approx([0.1, 0.4])
    assert lags["received"] == pytest.approx([0.3, 0.5])
    assert lags["folded"] == pytest.approx([0.5, 0.75])
    assert lags["projected"] == pytest.approx([1.0])  # the third is not there yet


def test_a_schedulers_lines_tell_its_passes(tmp_path):
    told = tmp_path / "scheduler.log"
    told.write_text(
        'no JSON\n{"event": "decided", "position": 9}\n{"event": "decided", "position": 7, '
        '"took_ms": 500.0, "proposals": 2, "timestamp": "1970-01-01T00:00:10.5Z"}\n'
    )
    (one,) = passes(told)
    assert folded([one]) == [(7, pytest.approx(10.0))]
    assert (one.took_ms, one.proposals) == (500.0, 2)


@pytest.mark.parametrize("kinds", [0, 2])
def test_a_fleet_alone_is_filled_and_every_phase_has_passes(kinds):
    alone = Alone(Crowd(nodes=3, models=4, kinds=kinds))
    alone.live()
    assert all(took.wall and len(took.wall) == len(took.own) for took in alone.phases.values())
    held = [gpu.held_by for gpu in alone.state.gpus.values()]
    assert len(held) == 24
    assert sum(each is not None for each in held) > 12
