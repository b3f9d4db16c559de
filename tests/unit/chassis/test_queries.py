"""Named SQL: found by name, described, and never twice."""

from pathlib import Path

import pytest

from services.chassis.errors import Bug
from services.chassis.queries import Queries

SERVICES = Path(__file__).parents[3] / "services"


def written(tmp_path, text):
    path = tmp_path / "queries.sql"
    path.write_text(text)
    return path


def test_a_statement_is_found_by_its_name(tmp_path):
    path = written(
        tmp_path,
        "-- name: one\n-- The first.\nselect 1;\n\n-- name: two\n-- The second.\nselect\n  2;\n",
    )
    queries = Queries(path)
    assert list(queries) == ["one", "two"]
    assert queries["two"] == "select\n  2"


def test_a_name_that_is_not_there_is_a_bug(tmp_path):
    with pytest.raises(Bug, match="no statement 'two'"):
        _ = Queries(written(tmp_path, "-- name: one\n-- It.\nselect 1"))["two"]


@pytest.mark.parametrize(
    "text",
    ["-- name: one\nselect 1", "-- name: one\n-- It.\nselect 1\n-- name: one\n-- It.\nselect 1"],
)
def test_a_statement_without_description_or_twice_is_a_bug(tmp_path, text):
    with pytest.raises(Bug):
        Queries(written(tmp_path, text))


@pytest.mark.parametrize(
    "path", sorted(SERVICES.glob("*/queries.sql")), ids=lambda p: p.parent.name
)
def test_the_files_of_the_services_read(path):
    assert list(Queries(path))
