"""`quartermaster history` and `blame`: lines without a terminal, a tree with one, JSON on demand."""

from __future__ import annotations

from io import StringIO

import orjson
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from services.cli.commands import blame, history

AT = "2026-05-04T14:02:10.000000Z"


def a_line(position, what, *, who="scheduler", **more):
    return {"position": position, "at": AT, "what": what, "who": who, **more}


GROUP = {
    "began_at": AT,
    "what": "ran 14:02 to 14:40",
    "why": None,
    "who": "scheduler",
    "led_to": [],
    "first": {"position": 3},
    "last": {"position": 9},
}
BLAMED = {
    "event": a_line(9, "instance i-2 is ready", why=None),
    "causes": [a_line(8, "instance i-2 is to start"), a_line(7, "instance i-1 died", why="killed")],
    "end": "first",
    "first": a_line(7, "instance i-1 died"),
    "effects": [
        {
            **a_line(10, "GPU given"),
            "cut": False,
            "effects": [{**a_line(11, "alert over"), "cut": True, "effects": []}],
        }
    ],
    "event_cut": True,
}
OF_A_MODEL = ("history", "model", "llama")


class Gateway:
    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def get(self, path):
        self.asked.append(path)
        return self.answer


def run(answer, *arguments):
    gateway, app = Gateway(answer), typer.Typer()
    history.add_to(app, lambda: gateway)
    blame.add_to(app, lambda: gateway)
    return CliRunner().invoke(app, arguments), gateway


def test_a_history_is_printed_with_its_newest_last_and_says_how_to_go_on():
    page = {"zoom": "groups", "items": [GROUP, {**GROUP, "what": "before"}], "next_cursor": "NA"}
    result, gateway = run(page, "history", "gpu", "GPU-1", "--since", "5", "--limit", "2")
    first, second, more = result.output.splitlines()
    assert first == "2026-05-04 14:02:10  3-9  scheduler  before"
    assert second.endswith("ran 14:02 to 14:40")
    assert more == "there is more before: add --cursor NA"
    assert gateway.asked == ["/history/gpu/GPU-1?zoom=groups&since=5&limit=2"]


@pytest.mark.parametrize("zoom", ["timeline", "events"])
def test_every_zoom_has_its_lines(zoom):
    line = a_line(4, "node n1 went offline", why="timed out", led_to=[])
    event = {
        "position": 4,
        "recorded_at": AT,
        "stream": "node/n1",
        "type": "node.went_offline",
        "data": {},
        "meta": {"actor": "node_monitor"},
    }
    item = line if zoom == "timeline" else event
    page = {"zoom": zoom, "items": [item], "next_cursor": None}
    result, _ = run(page, "history", "node", "n1", "--zoom", zoom)
    said = "node n1 went offline: timed out" if zoom == "timeline" else "node.went_offline {}"
    assert result.output.strip().endswith(said)


def test_a_line_names_what_it_came_of_and_led_to_so_that_blame_can_be_asked():
    links = {"caused_by": {"position": 3}, "led_to": [{"position": 5}, {"position": 6}]}
    item = a_line(4, "i-1 died", why="killed", **links, led_to_more=True)
    page = {"zoom": "timeline", "items": [item], "next_cursor": None}
    result, _ = run(page, "history", "model", "llama", "--zoom", "timeline")
    assert result.output.strip().endswith("i-1 died: killed [of 3, led to 5 6 ...]")


def test_a_run_says_why_it_was_begun_apart_from_how_it_ended():
    story = {**GROUP, "code": "run", "what": "ran: killed", "why": "below its floor"}
    result, _ = run({"zoom": "groups", "items": [story], "next_cursor": None}, *OF_A_MODEL)
    assert result.output.strip().endswith("ran: killed (begun: below its floor)")


def test_a_history_on_a_terminal_is_a_table(monkeypatch):
    console = Console(file=StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(history, "Console", lambda: console)
    line = a_line(4, "i-1 died", led_to=[{"position": 5}])
    run({"zoom": "timeline", "items": [line], "next_cursor": None}, *OF_A_MODEL)
    shown = console.file.getvalue()
    assert "when (UTC)" in shown
    assert "i-1 died [led to 5]" in shown


def test_json_is_what_the_gateway_said():
    page = {"zoom": "groups", "items": [], "next_cursor": None}
    result, _ = run(page, "history", "model", "llama", "--json")
    assert orjson.loads(result.output) == page
    result, gateway = run(BLAMED, "blame", "9", "--as-of", "2026-05-04T14:03:00+02:00", "--json")
    assert orjson.loads(result.output) == BLAMED
    assert gateway.asked[0].endswith("as_of=2026-05-04T14%3A03%3A00%2B02%3A00")


def test_a_name_with_strange_letters_is_asked_for_as_it_is():
    page = {"zoom": "groups", "items": [], "next_cursor": None}
    _, gateway = run(page, "history", "alert", "node_offline:n 1#?")
    assert gateway.asked[0].startswith("/history/alert/node_offline:n%201%23%3F?")


def test_what_is_none_of_the_kinds_is_refused_before_anything_is_asked():
    result, gateway = run({}, "history", "dragon", "x")
    assert (result.exit_code, gateway.asked) == (2, [])


def test_blame_without_a_terminal_is_lines_set_in():
    result, _ = run(BLAMED, "blame", "9")
    assert [line[:40].rstrip() for line in result.output.splitlines()] == [
        "  7 2026-05-04 14:02:10 instance i-1 die",
        "  8 2026-05-04 14:02:10 instance i-2 is",
        "> 9 2026-05-04 14:02:10 instance i-2 is",
        "    10 2026-05-04 14:02:10 GPU given (sc",
        "      11 2026-05-04 14:02:10 alert over",
        "        ... and more that is not shown",
        "    ... and more that is not shown",
    ]
    assert "instance i-1 died: killed (scheduler)" in result.output


def test_blame_on_a_terminal_is_a_tree_from_the_first_cause_on():
    console = Console(file=StringIO(), force_terminal=True, width=100, color_system=None)
    console.print(blame.drawn(BLAMED))
    text = console.file.getvalue()
    assert text.index("died") < text.index("is ready") < text.index("GPU given")
    assert text.count("... and more that is not shown") == 2


@pytest.mark.parametrize(("end", "said"), [("cut", "--causes"), ("unknown", "not in the log")])
def test_a_chain_that_does_not_reach_its_beginning_says_so(end, said):
    lines = blame.plain({**BLAMED, "end": end})
    assert said in lines[1]
    assert "instance i-1 died" in lines[0]
    assert said in blame.plain({**BLAMED, "end": end, "first": None})[0]
