"""Rows that a test lives through already: all their tests in one go of pytest, told apart by row."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from deploy.local.platform import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.registry import Row

WITHIN_S = 600.0


@dataclass
class Proof:
    """What became of a row's tests."""

    problem: str = ""
    took_s: float = 0.0
    ran: int = 0


def run(rows: Sequence[Row]) -> dict[int, Proof]:
    """Run the tests of all rows; return what became of each row's."""
    if not rows:
        return {}
    wanted = sorted({test for row in rows for test in row.tests})
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run(
            [*command, f"--junitxml={report}", *wanted],
            cwd=ROOT,
            stdout=sys.stderr,
            check=False,
            timeout=WITHIN_S,
        )
        cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 (our own pytest wrote it)
        return _by_row(rows, list(cases))


def _by_row(rows: Sequence[Row], cases: list[ET.Element]) -> dict[int, Proof]:
    proofs = {row.number: Proof() for row in rows}
    for row in rows:
        proof = proofs[row.number]
        for test in row.tests:
            ours = [case for case in cases if _is_of(case, test)]
            bad = [case for case in ours if len(case) and case[0].tag != "system-out"]
            proof.took_s += sum(float(case.get("time", 0)) for case in ours)
            if not ours or bad:
                proof.problem = f"{'failed' if bad else 'not found'}: {test}"
    return proofs


def _is_of(case: ET.Element, test: str) -> bool:
    """Tell whether a case is one of a node id's or file's, whatever its parameters are."""
    path, *names = test.split("::")
    where = ".".join([path.removesuffix(".py").replace("/", "."), *names[:-1]])
    name = str(case.get("name")).partition("[")[0]
    return case.get("classname") == where and (not names or name == names[-1])
