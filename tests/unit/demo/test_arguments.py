"""The demo's arguments: read as key=value, and the bad one is named."""

from pathlib import Path

import pytest

from deploy.demo.arguments import Arguments, parse
from deploy.demo.errors import DemoError


def test_nothing_given_means_the_defaults() -> None:
    assert parse([]) == Arguments()


def test_each_argument_is_read() -> None:
    words = ["requests=0", "speed=2.5", "report=/a/r.json", "trace=generated", "seed=-3", "keep=1"]
    assert parse(words) == Arguments(0, 2.5, Path("/a/r.json"), "generated", -3, keep=True)


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("requests=many", "requests=many is not a whole number"),
        ("requests=-1", "requests=-1 is not a whole number"),
        ("speed=0", "speed=0 is not a number above 0"),
        ("speed=nan", "speed=nan is not a number above 0"),
        ("speed=inf", "speed=inf is not a number above 0"),
        ("report=", "report= is not the path of a file"),
        ("keep=yes", "keep=yes is not 0 or 1"),
        ("sped=60", "no argument 'sped'; known keys: requests, speed"),
        ("60", "'60' is not key=value"),
    ],
)
def test_a_bad_argument_is_named(word: str, named: str) -> None:
    with pytest.raises(DemoError, match=named):
        parse(["seed=1", word])


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(DemoError, match="speed is given twice"):
        parse(["speed=1", "speed=2"])
