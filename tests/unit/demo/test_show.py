"""Where the view goes: lines without a terminal, and a picture that fetches nothing."""

from pathlib import Path

import pytest

from deploy.demo.show import Show, picture
from deploy.demo.view import Decision, Progress, View

VIEW = View(events=42, decisions=[Decision(7, "start sdxl", "busy")])
PROGRESS = Progress(12.0, wanted=10, published=5, served=4, repeated=0, speed=60)


def test_without_a_terminal_lines_are_printed_but_not_at_every_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = Show()
    for _ in range(3):
        show.update(VIEW, PROGRESS)
    show.close()
    told = capsys.readouterr().out
    assert told.count("served 4/10") == 1
    assert "\x1b" not in told


def test_a_sentence_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Show().say("a [bold] path/with:numbers 42")
    assert capsys.readouterr().out == "a [bold] path/with:numbers 42\n"


def test_the_picture_stands_alone(tmp_path: Path) -> None:
    picture(VIEW, PROGRESS, tmp_path / "deep" / "demo.svg")
    drawn = (tmp_path / "deep" / "demo.svg").read_text()
    assert "<svg" in drawn
    assert "start" in drawn
    assert "url(http" not in drawn.replace('"', "")
