"""`quartermaster status`: the whole fleet, now or as of a point of the past."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import orjson
import typer
from typer.testing import CliRunner

from services.cli.commands import status

AS_OF = {"position": 12, "recorded_at": "2026-05-04T14:02:10.000000Z", "telemetry": "dropped"}


def a_node(number):
    return {"name": f"node-{number}", "status": "online", "gpus": []}


class Gateway:
    """Has two pages."""

    def __init__(self, **more):
        self.asked, self.more = [], more

    def get(self, path):
        asked = {name: value for name, [value] in parse_qs(urlsplit(path).query).items()}
        self.asked.append(asked)
        number = 2 if "cursor" in asked else 1
        cursor = "next" if number == 1 else None
        return {"items": [a_node(number)], "next_cursor": cursor, "position": 12, **self.more}


def run(gateway, *arguments):
    app = typer.Typer()
    status.add_to(app, lambda: gateway)
    return CliRunner().invoke(app, arguments)


def test_all_pages_are_shown_and_of_the_past_all_of_one_moment():
    gateway = Gateway(as_of=AS_OF)
    result = run(gateway, "--as-of", "2026-05-04T14:02:10Z")
    assert result.exit_code == 0, result.output
    assert "node-1" in result.stdout
    assert "node-2" in result.stdout
    moment = {"as_of": "2026-05-04T14:02:10Z", "limit": "200"}
    assert gateway.asked == [moment, {**moment, "cursor": "next"}]


def test_it_says_which_moment_it_shows_and_what_is_missing_of_it():
    said = run(Gateway(as_of=AS_OF), "--as-of", "12").stderr
    assert said.startswith("as of position 12, 2026-05-04 14:02:10 UTC")
    assert "no longer kept" in said
    assert run(Gateway()).stderr == ""


def test_json_is_the_answer_with_the_items_of_every_page():
    found = orjson.loads(run(Gateway(as_of=AS_OF), "--as-of", "12", "--json").stdout)
    assert [node["name"] for node in found["items"]] == ["node-1", "node-2"]
    assert (found["next_cursor"], found["as_of"]) == (None, AS_OF)
