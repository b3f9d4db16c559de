"""The trace: what is read of it, which models, which window."""

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo import trace
from deploy.demo.errors import DemoError
from deploy.demo.trace import Request

HEADER = "gmt_create,predict_status,exec_time_seconds,checkpoint_model_version_id"
moments = st.lists(st.integers(0, 10_000), min_size=1, max_size=60).map(sorted)


def _read(*rows: str) -> list[Request]:
    return list(trace.read(iter([HEADER, *rows]), "requests.csv"))


def _at(*moments_s: float, model: str = "m") -> list[Request]:
    return [Request(str(n), model, at_s, 1.0) for n, at_s in enumerate(moments_s)]


def test_a_finished_request_is_read_with_its_line_as_id() -> None:
    assert _read("1970-01-01 00:01:00,SUCCEED,32.0,M1") == [Request("line-2", "M1", 60.0, 32.0)]


def test_what_failed_or_took_no_time_is_left_out() -> None:
    assert _read("1970-01-01 00:01:00,FAILED,,M1", "1970-01-01 00:01:00,SUCCEED,0.0,M1") == []


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("yesterday,SUCCEED,1.0,M1", "line 3: gmt_create is 'yesterday'"),
        ("1970-01-01 00:01:00,SUCCEED,soon,M1", "line 3: exec_time_seconds is 'soon'"),
        ("1970-01-01 00:01:00,SUCCEED,nan,M1", "line 3: exec_time_seconds is 'nan'"),
        ("1970-01-01 00:01:00,SUCCEED,1.0,", "line 3: checkpoint_model_version_id is empty"),
        ("1970-01-01 00:01:00", "line 3: predict_status is empty"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(row: str, named: str) -> None:
    with pytest.raises(DemoError, match=rf"requests\.csv, {named}"):
        _read("1970-01-01 00:00:00,SUCCEED,1.0,M1", row)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DemoError, match="line 1: there is no field gmt_create"):
        list(trace.read(iter([HEADER.removeprefix("gmt_create,")]), "requests.csv"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"requests_to_2024-12-01\.csv cannot be read"):
        trace.load(tmp_path)


def test_the_commonest_models_are_chosen_and_ties_go_to_the_first_name() -> None:
    requests = [*_at(5, 6, model="often"), *_at(1, model="b"), *_at(2, model="a")]
    assert [r.model for r in trace.of_commonest(requests, 2)] == ["a", "often", "often"]


def test_the_window_begins_at_zero() -> None:
    assert [r.at_s for r in trace.densest(_at(0, 100, 101, 103, 200), 3)] == [0, 1, 3]


def test_the_earliest_of_equal_windows_is_taken() -> None:
    assert [r.id for r in trace.densest(_at(0, 1, 2, 3), 2)] == ["0", "1"]


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(DemoError, match="requests=5 are more than the 2"):
        trace.densest(_at(0, 1), 5)


@given(moments, st.data())
def test_no_window_is_denser(moments_s: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(moments_s)))
    window = trace.densest(_at(*moments_s), count)
    spans = [b - a for a, b in zip(moments_s, moments_s[count - 1 :], strict=False)]
    assert len(window) == count
    assert window[-1].at_s == min(spans)


def test_rounds_never_repeat_an_id_and_never_go_back() -> None:
    endless = list(islice(trace.rounds(_at(0, 3), gap_s=2.0), 5))
    assert [r.at_s for r in endless] == [0, 3, 5, 8, 10]
    assert len({r.id for r in endless}) == 5


def test_mean_execution_times_are_by_model() -> None:
    requests = [Request("1", "b", 0, 2.0), Request("2", "b", 0, 4.0), Request("3", "a", 0, 1.0)]
    assert trace.mean_exec_s(requests) == {"a": 1.0, "b": 3.0}
