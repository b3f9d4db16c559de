"""`quartermaster rebuild`: ordered, followed to its end, and what came of it as an exit code."""

from __future__ import annotations

import orjson
import pytest
import typer
from typer.testing import CliRunner

from services.chassis.errors import Unavailable
from services.cli.commands import rebuild

DONE = {
    "rebuild_id": "reb-1",
    "state": "done",
    "because": "asked",
    "models": ["gpus"],
    "asked_at": "2026-05-04T14:02:10Z",
    "started_at": "2026-05-04T14:02:11Z",
    "finished_at": "2026-05-04T14:02:12Z",
    "build": 3,
    "position": 9,
    "target": 9,
    "events_per_s": 60000.0,
    "differences": [],
    "problem": None,
}
WAITING = {**DONE, "state": "waiting", "position": 0, "finished_at": None, "build": None}
BUILDING = {**DONE, "state": "building", "position": 4, "finished_at": None}
FAILED = {**DONE, "state": "failed", "problem": "there is no read model x"}
DIFFERED = {**DONE, "differences": [{"table": "gpus", "rows": 2, "keys": ["g1", "g2"]}]}


class Gateway:
    def __init__(self, *answers):
        self.answers, self.posted, self.asked = list(answers), [], []

    def post(self, path, body):
        self.posted.append((path, body))
        return {"rebuild_id": "reb-1", "models": body["models"]}

    def get(self, path, _parameters=None):
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(gateway, *arguments):
    app = typer.Typer()
    rebuild.add_to(app, lambda: gateway)
    return CliRunner().invoke(app, arguments)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(rebuild, "sleep", lambda _: None)


def test_it_is_followed_from_its_order_to_its_end():
    gateway = Gateway(WAITING, BUILDING, Unavailable("gone for a moment"), BUILDING, DONE)
    result = run(gateway, "gpus")
    assert gateway.posted == [("/rebuilds", {"models": ["gpus"]})]
    assert gateway.asked == ["/rebuilds/reb-1"] * 5
    assert (result.exit_code, result.stdout) == (0, "gpus made anew through position 9\n")


def test_no_model_means_all_of_them():
    gateway = Gateway({**DONE, "models": ["a", "b", "c", "d"]})
    assert "4 read models made anew" in run(gateway).stdout
    assert gateway.posted == [("/rebuilds", {"models": []})]


def test_a_failure_is_exit_code_1_with_its_cause():
    result = run(Gateway(FAILED), "gpus")
    assert result.exit_code == 1
    assert "there is no read model x; what was live is live" in result.stdout


def test_rows_that_were_wrong_are_exit_code_5():
    result = run(Gateway(DIFFERED), "gpus")
    assert result.exit_code == rebuild.DIFFERED == 5
    assert "gpus: 2 rows were not what the log says (such as g1, g2); they are now" in result.stdout


def test_json_is_the_rebuild_as_it_ended():
    assert orjson.loads(run(Gateway(BUILDING, DONE), "gpus", "--json").stdout) == DONE


def test_an_order_can_be_left_and_followed_later():
    assert run(Gateway(BUILDING), "gpus", "--detach").stdout == "reb-1: building, 4 of 9\n"
    gateway = Gateway(DONE)
    assert run(gateway, "--watch", "reb-7").exit_code == 0
    assert (gateway.posted, gateway.asked) == ([], ["/rebuilds/reb-7"])


def test_the_latest_are_lines_of_fields():
    result = run(Gateway({"items": [BUILDING]}), "--list")
    assert result.stdout.splitlines()[1].split("\t")[:4] == ["reb-1", "building", "asked", "4 of 9"]


def test_an_order_that_another_rebuild_met_says_so():
    met = {**DONE, "position": 0, "target": 0}
    assert "were made anew since by another rebuild" in run(Gateway(met), "gpus").stdout


def test_silence_of_the_projector_is_told(monkeypatch):
    monkeypatch.setattr(rebuild, "SILENCE_S", -1.0)
    result = run(Gateway(WAITING), "gpus")
    assert isinstance(result.exception, Unavailable)
    assert "does the projector run" in str(result.exception)


def test_ctrl_c_ends_the_watching_and_not_the_rebuild():
    gateway = Gateway(BUILDING)
    gateway.get = _interrupted
    result = run(gateway, "gpus")
    assert result.exit_code == 130
    assert "reb-1 goes on" in result.stderr


def _interrupted(*_):
    raise KeyboardInterrupt
