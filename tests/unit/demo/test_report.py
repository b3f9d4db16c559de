"""The report: waits in trace seconds, what was lost, and what is said to be wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.collector import Collector
from deploy.demo.errors import DemoError
from deploy.demo.messages import Result, decode_result
from deploy.demo.report import Report, Waits, lost, quantile, waits_of

GOOD = Report(
    ready_s=12.0,
    requests_published=2,
    requests_served=2,
    requests_lost=0,
    requests_repeated=0,
    wait_p50_s=1.0,
    wait_p95_s=2.0,
    wait_mean_s=1.5,
    instances_started=6,
    instances_replaced=0,
    events_recorded=100,
    refused_bad_proposal=1,
    refused_because="length: must be at least 0",
    parked_others=0,
    log_verified=True,
    log_checked=100,
    models=6,
    models_floor_met=6,
    speed=60.0,
    trace="generated",
    trace_s=60.0,
    run_s=20.0,
)


def _result(number: int, wait_s: float) -> Result:
    return Result(str(number), "m", "i-1", published_at=100.0, begun_at=100.0 + wait_s)


def test_waits_are_told_in_trace_seconds() -> None:
    assert waits_of([_result(1, 0.5), _result(2, 1.5)], speed=60) == Waits(30.0, 90.0, 60.0)


def test_nothing_served_has_no_waits() -> None:
    assert waits_of([], speed=60) == Waits(None, None, None)


def test_a_wait_is_never_negative() -> None:
    assert waits_of([_result(1, -0.1)], speed=60).p95 == 0.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_what_was_published_and_not_served_is_lost() -> None:
    assert lost({"a": 1, "b": 2, "c": 3}, {"b": 2}) == ["a", "c"]


def test_a_repeated_result_is_counted_apart() -> None:
    collector = Collector("")
    for wait_s in (1.0, 2.0):
        collector.take(_result(1, wait_s))
    assert collector.served["1"].begun_at == 101.0
    assert collector.repeated.total() == 1


def test_a_result_survives_its_message() -> None:
    assert decode_result(_result(1, 2.0).encode()) == _result(1, 2.0)


def test_a_good_run_has_nothing_wrong() -> None:
    assert GOOD.wrong() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requests_lost": 3}, "3 requests were lost"),
        ({"log_verified": False}, "the log does not verify"),
        ({"refused_bad_proposal": 0}, "the bad proposal was not refused"),
        ({"parked_others": 2}, "2 messages are parked"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, int], said: str) -> None:
    assert said in replace(GOOD, **change).wrong()[0]


def test_the_report_is_written_as_json(tmp_path: Path) -> None:
    GOOD.write(tmp_path / "deep" / "report.json")
    written = json.loads((tmp_path / "deep" / "report.json").read_text())
    assert written["requests_lost"] == 0
    assert written["log_verified"] is True


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="cannot be written"):
        GOOD.write(tmp_path / "file" / "report.json")
