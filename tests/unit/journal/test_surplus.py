"""Which snapshots are kept: the newest, and older ones thinned out with their age."""

from hypothesis import given
from hypothesis import strategies as st

from services.journal.snapshots import ALWAYS_KEPT, surplus


def test_three_are_the_newest_three():
    assert surplus([5, 1, 3, 9, 7], 3) == [1, 3]
    assert surplus([5, 1], 3) == []
    assert surplus([5, 1, 3], 1) == [1, 3]


@given(st.sets(st.integers(1, 10**9), max_size=120), st.integers(1, 60))
def test_as_many_stay_as_are_kept_and_the_newest_among_them(positions, kept):
    left = positions - set(surplus(sorted(positions), kept))
    assert len(left) == min(len(positions), kept)
    newest = sorted(positions)[-min(ALWAYS_KEPT, kept) :]
    assert set(newest) <= left


def test_any_past_is_near_a_snapshot_as_far_as_it_is_away_itself():
    every, kept = 10_000, 48
    positions: list[int] = []
    for head in range(every, 5_000_000, every):
        positions.append(head)
        gone = set(surplus(positions, kept))
        positions = [each for each in positions if each not in gone]
    head = positions[-1]
    for asked in range(every, head, 7_919):
        before = max((each for each in positions if each <= asked), default=0)
        assert asked - before <= max(every, 0.25 * (head - before) + every)
