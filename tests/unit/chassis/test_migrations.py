"""Migrations: in order, once, and never changed after."""

import pytest

from services.chassis.errors import Bug, Refused
from services.chassis.migrations import DIRECTORY, Migration, pending, read

ONE, TWO = Migration("0001_one.sql", "select 1"), Migration("0002_two.sql", "select 2")


def applied(*migrations):
    return {migration.name: migration.sha256 for migration in migrations}


def test_only_what_was_not_applied_is_pending():
    assert pending([ONE, TWO], applied(ONE)) == [TWO]
    assert pending([ONE, TWO], applied(ONE, TWO)) == []


def test_a_changed_file_that_was_applied_is_refused():
    with pytest.raises(Refused, match=r"0001_one.sql was applied and then changed"):
        pending([Migration("0001_one.sql", "select 9"), TWO], applied(ONE))


def test_a_database_newer_than_the_code_is_refused():
    with pytest.raises(Refused, match="this code is older than the data"):
        pending([ONE], applied(ONE, TWO))


def test_a_file_that_comes_before_what_was_applied_is_refused():
    with pytest.raises(Refused, match="renumber it"):
        pending([ONE, TWO], applied(TWO))


def test_files_are_read_in_order_of_their_numbers(tmp_path):
    for name in ("0010_c.sql", "0002_b.sql", "0001_a.sql"):
        (tmp_path / name).write_text("select 1")
    assert [m.name for m in read(tmp_path)] == ["0001_a.sql", "0002_b.sql", "0010_c.sql"]


@pytest.mark.parametrize("names", [("1_a.sql",), ("0001_a.sql", "0001_b.sql")])
def test_a_strange_or_repeated_number_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("select 1")
    with pytest.raises(Bug):
        read(tmp_path)


def test_our_own_migrations_are_well_named():
    assert read(DIRECTORY)[0].name == "0001_log.sql"
