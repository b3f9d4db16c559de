"""An explanation in a terminal and off one: the sentence first, then what stands behind it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import orjson
import typer
from rich.console import Console
from typer.testing import CliRunner

from services.cli.commands import explain

AT = "2030-01-01T12:00:00Z"
FOUND: dict[str, Any] = {
    "kind": "model",
    "id": "m-1",
    "name": "llama",
    "status": "waiting",
    "position": 42,
    "at": AT,
    "sentence": "llama has no instance because no GPU [that fits] is free.",
    "reasons": [
        {
            "code": "no_free_gpu",
            "sentence": "llama has no instance because no GPU [that fits] is free.",
            "numbers": {"wait_s": 22.04, "busy_threshold_s": 30.0, "floor": 1},
            "position": 42,
            "at": AT,
            "strategy": "rule",
            "recorded": False,
        },
        {
            "code": "gpu_held",
            "sentence": "1 GPU that could serve it: in use.",
            "numbers": {},
            "position": 42,
            "at": AT,
            "strategy": None,
            "recorded": False,
        },
    ],
    "alternatives": [{"subject": "i", "code": "pinned", "sentence": "i-1: pinned", "numbers": {}}],
    "rejected": {"held": 1},
    "counterfactuals": [],
    "tried": 7,
    "history": [
        {
            "position": 7 + k,
            "at": AT,
            "type": "model.registered",
            "stream": "model/m-1",
            "code": None,
            "sentence": f"fact {k}.",
            "actor": "api",
        }
        for k in range(explain.SHOWN + 1)
    ],
    "earlier_before": None,
}


class Fake:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, path: str) -> Any:
        self.asked.append(path)
        return FOUND


def run(*arguments: str) -> tuple[str, list[str]]:
    app, fake = typer.Typer(), Fake()
    explain.add_to(app, lambda: fake)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout, fake.asked


def test_off_a_terminal_it_is_plain_lines_the_sentence_first() -> None:
    said, asked = run("model", "my llama/7b", "--as-of", "12")
    assert asked == ["/explain/model/my%20llama/7b?as_of=12"]
    lines = said.splitlines()
    assert lines[0] == FOUND["sentence"]
    assert lines[1] == (
        "  no_free_gpu, decided at position 42, 2030-01-01 12:00:00 UTC, strategy rule,"
        " wait_s=22.04, busy_threshold_s=30"
    )
    assert "  then  1 GPU that could serve it: in use." in lines
    nothing = "nothing: decided again 7 times with one thing changed, it stays so"
    assert f"  {nothing}" in lines
    assert "  7  2030-01-01 12:00:00  fact 0." in lines
    assert lines[-1] == "there is more before: quartermaster history model m-1"


def test_on_a_terminal_nothing_of_it_is_taken_for_markup() -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    for part in explain.drawn(FOUND):
        console.print(part)
    assert FOUND["sentence"] in out.getvalue()
    assert "these came closest and lost" in out.getvalue()


def test_what_was_said_again_and_again_is_one_row_that_counts() -> None:
    flaps = ["wants no more.", "gets none."] * 3 + ["was registered."]
    history = [
        {"position": 9 - k, "at": AT, "sentence": sentence} for k, sentence in enumerate(flaps)
    ]
    assert [(row[0], row[2]) for row in explain.gathered(history)] == [
        ("9", "wants no more. (2 times before, since position 5)"),
        ("8", "gets none. (2 times before, since position 4)"),
        ("3", "was registered."),
    ]


def test_as_json_it_is_the_answer_itself() -> None:
    said, _ = run("model", "llama", "--json")
    assert orjson.loads(said) == FOUND
