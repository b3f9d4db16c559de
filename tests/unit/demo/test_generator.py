"""The generated load: the same for a seed, and of the trace's form."""

from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.generator import KINDS, generate, mean_exec_s
from deploy.demo.trace import mean_exec_s as measured

counts, seeds = st.integers(1, 300), st.integers()


@given(counts, seeds)
def test_a_seed_gives_the_same_requests_again(count: int, seed: int) -> None:
    assert generate(count, seed) == generate(count, seed)


@given(counts, seeds)
def test_requests_arrive_in_order_from_zero_with_ids_of_their_own(count: int, seed: int) -> None:
    requests = generate(count, seed)
    moments = [request.at_s for request in requests]
    assert moments == sorted(moments)
    assert moments[0] == 0.0
    assert len({request.id for request in requests}) == count
    assert all(request.exec_s >= 1.0 for request in requests)


def test_another_seed_gives_other_requests() -> None:
    assert generate(50, 1) != generate(50, 2)


def test_six_models_share_the_load() -> None:
    assert {request.model for request in generate(400, 7)} == {kind.name for kind in KINDS}


def test_the_mean_that_is_told_is_the_mean_that_comes() -> None:
    came = measured(generate(20_000, 7))
    for model, told in mean_exec_s().items():
        assert abs(came[model] - told) < 0.1 * told
