"""Exporting the log to a file: gone on with where it ends, and no other file is touched."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from services.chassis.errors import Refused, Unavailable
from services.cli.commands.log_export import Wanted, export

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 7


class Log:
    """A gateway with a log of seven events, in pages of three; it may be silent."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent

    def lines(self, path: str, parameters: Any) -> tuple[dict[str, str], bytes]:
        if self.silent:
            raise Unavailable("the gateway does not answer")
        after = dict(parameters)["after"]
        through = min(after + 3, HEAD)
        lines = b"".join(b'{"position":%d}\n' % at for at in range(after + 1, through + 1))
        told = {"qm-events": through - after, "qm-through": through, "qm-head": HEAD}
        return {name: str(number) for name, number in told.items()}, lines


def exported(file: Path, *, resume: bool = False, silent: bool = False) -> int:
    gateway: Any = Log(silent=silent)
    return export(gateway, Wanted(), str(file), compress=False, resume=resume)


def positions(file: Path) -> list[bytes]:
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines()


WHOLE = [b'{"position":%d}' % at for at in range(1, HEAD + 1)]


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_an_export_that_was_cut_off_goes_on_where_it_ended(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert exported(file) == HEAD
    assert positions(file) == WHOLE
    file.write_bytes(file.read_bytes()[:-9])
    exported(file, resume=True)
    assert positions(file) == WHOLE
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"first\nsecond"),
        ("notes.txt", b"all in one line"),
        ("data.json", b'{"a": 1}'),
        ("data.json", b'{"a": 1}\n'),
        ("plain.gz", b'{"position":1}\n'),
        ("damaged.gz", gzip.compress(b"")[:10] + b"\xff" * 40),
        ("other.gz", gzip.compress(b"no export\n")),
    ],
    ids=("lines", "no line", "json", "a line of json", "not packed", "damaged", "packed lines"),
)
def test_a_file_that_is_no_export_is_refused_and_left_as_it_is(
    tmp_path: Path, name: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(Refused):
        exported(file, resume=True)
    assert file.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_gateway_that_does_not_answer_leaves_no_file_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    with pytest.raises(Unavailable):
        exported(file, silent=True)
    assert not file.exists()
    assert exported(file) == HEAD


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"mine")
    with pytest.raises(Refused, match="--resume"):
        exported(file)
    assert file.read_bytes() == b"mine"
