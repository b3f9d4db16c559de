"""Every event has words; numbers, times and reasons are said as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from contracts.catalogue import CATALOGUE
from contracts.envelope import Meta, Recorded
from deploy.samples import a_sample
from services.query.decide.reasons import exit_words, failure, reason
from services.query.decide.spoken import day, duration, first_line, span
from services.query.decide.words import nature, what, why

NOON = datetime(2026, 5, 4, 12, 2, 5, tzinfo=UTC)
DASH = "\N{EN DASH}"


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.event.type)
def test_every_event_is_one_sentence_without_a_hole(entry):
    type_ = entry.event.type
    for proposer in entry.by:
        data = a_sample(entry.event)
        event = Recorded(1, "e", "s", 1, type_, 1, data, NOON, Meta("x", "", proposer))
        assert what(event)
        assert "?" not in what(event)
        assert "\n" not in what(event) + (why(event) or "")
        assert nature(event) in {"asked", "decided", "done", "seen", "told"}


def test_a_type_without_words_is_called_by_its_name():
    event = Recorded(1, "e", "s", 1, "thing.had_happened", 1, {}, NOON)
    assert (what(event), why(event)) == ("thing had happened", None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (2.5, "2.5 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (2280, "38 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (90_000, "1 d 1 h"),
        (172_800, "2 d"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(seconds, said):
    assert duration(seconds) == said


def test_a_span_says_the_seconds_of_a_short_one_and_the_days_of_a_long_one():
    assert span(NOON, NOON + timedelta(minutes=38)) == f"12:02{DASH}12:40"
    assert span(NOON, NOON + timedelta(seconds=20)) == f"12:02:05{DASH}12:02:25"
    assert span(NOON, NOON + timedelta(days=1)) == f"4 May 12:02 {DASH} 5 May 12:02"
    assert day(NOON) == "4 May 12:02"


def test_only_the_first_line_that_says_something_is_quoted():
    assert first_line("\n  \n no  \nyes") == "no"
    assert first_line("x" * 300, 10) == "x" * 9 + "…"
    assert first_line("") == ""


def test_a_reason_says_its_numbers_and_an_unknown_one_its_code():
    numbers = {"wait_s": 40.0, "busy_threshold_s": 30}
    assert reason({"code": "busy_without_instance", "numbers": numbers}) == (
        "its queued work takes 40 s (over 30 s) and it has no instance"
    )
    assert reason({"code": "below_floor", "numbers": {}}).startswith("it has ? of the ?")
    assert reason({"code": "moon_phase"}) == "moon phase"


@pytest.mark.parametrize(
    ("type_", "data", "said"),
    [
        ("instance.died", {"because": "exited", "exit_code": 137}, "killed by SIGKILL"),
        ("instance.died", {"because": "exited", "exit_code": -9}, "killed by SIGKILL"),
        ("instance.died", {"because": "rebooted"}, "its node was rebooted"),
        (
            "instance.died",
            {"because": "exited", "exit_code": 1, "log_tail": "x\nCUDA out of memory"},
            "out of memory",
        ),
        ("instance.start_failed", {"code": "ready_timeout", "error": "1800 s"}, "it was not ready in time"),
        ("instance.start_failed", {"code": "exited", "error": "exit code 1\nlog"}, "exit code 1"),
        ("instance.start_failed", {"code": "x", "error": "torch.OutOfMemoryError"}, "out of memory"),
        ("instance.stopped", {"exit_code": 0}, None),
    ],
)  # fmt: skip
def test_why_a_worker_failed_is_found_in_what_is_known_of_its_end(type_, data, said):
    assert failure(type_, data) == said


def test_an_exit_code_that_is_no_signal_is_said_as_it_is():
    assert exit_words(3) == "the worker ended with exit code 3"
    assert exit_words(None) == "the worker ended by itself"
