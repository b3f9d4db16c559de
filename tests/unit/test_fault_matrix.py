"""The fault matrix: every row has its place, and what it is said to be proven by exists."""

from pathlib import Path

import pytest

from tests.faults import rows
from tests.faults.registry import ROWS

ROOT = Path(__file__).parents[2]
LAST = 45


def test_every_row_is_lived_through_or_says_why_not():
    assert rows.__all__
    assert sorted(ROWS) == list(range(1, LAST + 1))
    for row in ROWS.values():
        assert row.scenario or row.tests or row.not_run, row.number
        assert row.fault, row.number
        assert row.holds, row.number
        assert row.inject or row.not_run, row.number


@pytest.mark.parametrize("number", [row.number for row in ROWS.values() if row.tests])
def test_the_tests_that_prove_a_row_exist(number):
    shared = "".join(file.read_text() for file in (ROOT / "tests/shared").glob("*.py"))
    for test in ROWS[number].tests:
        path, *names = test.split("::")
        source = (ROOT / path).read_text()
        for name in names:
            assert f"def {name}(" in source + shared or f"class {name}(" in source, test
