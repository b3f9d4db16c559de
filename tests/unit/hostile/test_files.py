"""Whatever stands in a trace file or a manifest, it is read or refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo import trace
from deploy.demo.errors import DemoError
from services.chassis.errors import Refused
from services.cli.commands import documents
from services.journal.adapters.backup_directory import below
from tests.unit.hostile.mutations import WILD, hostile, spoiled

HEADER = "gmt_create,predict_status,exec_time_seconds,checkpoint_model_version_id"
LINES = [HEADER, "1970-01-01 00:00:00,SUCCEED,1.0,M1", "1970-01-01 00:00:09,FAILED,2,M2"]
CELLS = st.sampled_from(
    ["", "nan", "-inf", "1e999", "9999-12-31 23:59:59", "0000-00-00", '"', "\x00", "x" * 200_000]
)
MANIFESTS = [
    {"kind": "Environment", "name": "e"},
    {"kind": "Node", "name": "n", "environment": "e", "spec": {"host": "h", "port": 8000}},
    {"kind": "Webhook", "name": "w", "spec": {"url": "https://h/", "events": ["*"]}},
]
ODD_YAML = st.sampled_from(
    [
        "? [a]\n: b",
        "? {a: b}\n: c",
        "a: 2026-99-99",
        "a: !!int x",
        "a: !!float x",
        "a: !!binary x",
        "a: !!timestamp x",
        "a: 0b",
        "a: 0x",
        "a: 1:99999:1",
        "a: " + "1" * 5000,
        "[" * 3000,
        "a: &a [*a]",
        "&a {<<: *a}",
        "<<: 1",
        "!!python/object/apply:os.system ['id']",
        "!!set [1]",
        "!!omap [1]",
        "a: &a [x]\nb: &b [*a,*a]\nkind: *b",
        "\x00",
        "%YAML 9.9\n---\na",
        "---\n...\n---\n- !",
    ]
)


def bomb(levels: int) -> str:
    """Return a manifest of few bytes that would be 9 ** levels things if it were written out."""
    nests = [
        f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, levels)
    ]
    return "\n".join(["kind: Environment", "name: e", "l0: &l0 [x, x]", *nests])


@st.composite
def spoiled_lines(draw: st.DrawFn) -> str:
    rows = [line.split(",") for line in LINES]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        row.insert(draw(st.integers(0, len(row))), draw(CELLS | st.text(max_size=9)))
    return "\n".join(",".join(row) for row in rows)


@hostile
@given(spoiled_lines().map(str.encode) | st.binary(max_size=200))
def test_whatever_stands_in_a_trace_is_read_or_refused(content: bytes):
    with TemporaryDirectory() as folder:
        (Path(folder) / trace.FILE).write_bytes(content)
        with suppress(DemoError):
            trace.load(Path(folder))


def reads(text: str | bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "m.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with suppress(Refused):
            documents.read([str(file)])


@hostile
@given(
    st.binary(max_size=60)
    | st.text(max_size=60)
    | ODD_YAML
    | WILD.map(yaml.safe_dump)
    | spoiled(MANIFESTS).map(yaml.safe_dump_all)
)
def test_whatever_stands_in_a_manifest_is_read_or_refused(text: str | bytes):
    reads(text)


@pytest.mark.parametrize("text", [bomb(12), "- " * 5000, "{a: " * 5000, "kind: " + "[" * 100_000])
def test_a_manifest_that_unfolds_without_end_is_refused_and_not_unfolded(text: str):
    reads(text)


@hostile
@given(st.text(max_size=40) | st.sampled_from(["..", "../x", "/etc", "a/../../b", "\x00", "a\x00"]))
def test_a_backup_never_leaves_the_directory_for_backups(directory: str):
    with TemporaryDirectory() as root:
        try:
            path = below(Path(root), directory)
        except Refused:
            return
        assert Path(root).resolve() in path.parents
