"""Paces and choices: nobody is faster than its pace, and a pattern means what it says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.decide.pacing import Pace, admit
from services.gateway.decide.wanted import Wanted, matching


@given(
    st.lists(st.floats(0, 2), max_size=200),
    st.floats(0.5, 50),
    st.integers(1, 20),
)
def test_no_caller_is_ever_faster_than_its_pace(pauses: list[float], per_s: float, burst: int):
    pace, now, due = Pace(per_s, burst), 1000.0, 0.0
    let_in: list[float] = []
    for pause in pauses:
        now += pause
        due, early_s = admit(due, now, pace)
        if not early_s:
            let_in.append(now)
    for i, start in enumerate(let_in):
        for j in range(i, len(let_in)):
            assert j - i + 1 <= burst + (let_in[j] - start) * per_s + 1.001


@given(st.floats(0.1, 100), st.integers(1, 50))
def test_who_waits_as_long_as_told_is_let_in(per_s: float, burst: int):
    pace, due, early_s = Pace(per_s, burst), 0.0, 0.0
    for _ in range(burst + 1):
        due, early_s = admit(due, 5.0, pace)
    assert early_s > 0
    _, again_s = admit(due, 5.0 + early_s + 1e-6, pace)
    assert again_s == 0


def test_who_has_rested_may_ask_a_burst_at_once():
    pace, due = Pace(10, 5), 0.0
    for _ in range(5):
        due, early_s = admit(due, 100.0, pace)
        assert early_s == 0
    assert admit(due, 100.0, pace)[1] == pytest.approx(0.1)


@dataclass(frozen=True)
class Told:
    type: str
    stream: str


TYPES = frozenset({"node.registered", "node.went_offline", "gpu.freed"})


def test_a_pattern_stands_for_the_types_it_matches():
    assert matching("node.*", TYPES) == {"node.registered", "node.went_offline"}
    assert matching("gpu.freed", TYPES) == {"gpu.freed"}
    assert matching("*", TYPES) == TYPES
    assert matching("node", TYPES) == frozenset()


@pytest.mark.parametrize(
    ("streams", "stream", "taken"),
    [
        ((), "node/a", True),
        (("node/a",), "node/a", True),
        (("node/a",), "node/ab", False),
        (("node/*",), "node/ab", True),
        (("node/",), "node/ab", True),
        (("node/",), "gpu/node/", False),
        (("gpu/x", "node/a?"), "node/ab", True),
        (("node/a.b",), "node/a-b", False),
    ],
)
def test_a_stream_is_chosen_by_name_pattern_or_family(streams, stream, taken):
    assert Wanted(None, streams).takes(Told("node.registered", stream)) is taken


def test_a_pattern_of_many_stars_is_judged_in_no_time():
    """Were it tried in every way, the end of the universe would come first."""
    wanted = Wanted(None, ("*a" * 5 + "b",))
    assert not wanted.takes(Told("t", "a" * 400))
