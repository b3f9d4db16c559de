"""The log as a person or a script looks after it: plain words, exit codes, progress apart."""

import orjson
import pytest
from typer.testing import CliRunner

from services.chassis.errors import Refused, Unavailable
from services.cli.adapters.direct import Unsound
from services.cli.commands import log
from services.cli.service import FOUND, UNAVAILABLE, USAGE, code

SOUND = {
    "ok": True, "checked": 9, "head": 12, "hash": "ab", "seals": 1, "position": None,
    "problem": None, "rewinds": [],
}  # fmt: skip
UNSOUND = {**SOUND, "ok": False, "position": 7, "problem": "position 7 is missing", "hash": ""}
DIFFERENCE = {"table": "models", "rows": 2, "keys": ["llama", "qwen"]}


class Gateway:
    """Ends every job at the second look, and every comparison at the first."""

    def __init__(self, report=SOUND, *, state="done", differences=()):
        self.report, self.state, self.differences = report, state, list(differences)
        self.posted = []

    def post(self, path, body=None):
        self.posted.append((path, body))
        return {"job_id": "job-1", "rebuild_id": "reb-1", "state": "waiting", "progress": {}}

    def get(self, path, parameters=None):
        if path.startswith("/log/jobs/"):
            progress = {"done": 9, "total": 9, "what": "events"}
            done = {"state": self.state, "progress": progress, "result": self.report}
            return {"job_id": "job-1", "problem": "no room on the disk", **done}
        models, at = ["models"] * 18, {"position": 12, "target": 12}
        ended = {"state": "done", "finished_at": "now", "problem": None, "events_per_s": None}
        return {"differences": self.differences, "models": models, **at, **ended}


def run(gateway, *arguments, directly=None):
    app = log.commands(lambda: gateway, directly)
    return CliRunner().invoke(app, arguments)


def test_a_sound_log_is_said_to_be_so():
    result = run(Gateway(), "verify")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "sound: 9 events, positions 1 to 12, 1 days sealed"


def test_an_unsound_log_is_a_finding_and_its_read_models_are_not_asked_for():
    gateway = Gateway(UNSOUND)
    result = run(gateway, "verify", "--read-models")
    assert result.exit_code == 1
    assert "NOT SOUND at position 7: position 7 is missing" in result.stdout
    assert [path for path, _ in gateway.posted] == ["/log/jobs"]


@pytest.mark.parametrize(("differences", "exit_code"), [((), 0), ((DIFFERENCE,), 1)])
def test_read_models_that_differ_are_a_finding(differences, exit_code):
    gateway = Gateway(differences=differences)
    result = run(gateway, "verify", "--read-models")
    assert result.exit_code == exit_code
    assert gateway.posted[1] == ("/rebuilds", {"only_compare": True})
    said = "2 rows of models (such as llama, qwen)" if differences else "18 read models are what"
    assert said in result.stdout


def test_for_programs_the_answer_is_one_document_and_progress_goes_beside_it():
    result = run(Gateway(), "verify", "--read-models", "--json")
    assert orjson.loads(result.stdout)["read_models"]["differences"] == []
    works = [orjson.loads(line)["progress"]["work"] for line in result.stderr.splitlines()]
    assert works == ["verifying"]


def test_a_job_that_fails_is_no_finding():
    result = run(Gateway(state="failed"), "backup", "today")
    assert isinstance(result.exception, Unavailable)
    assert "no room on the disk" in result.exception.detail
    assert code(result.exception) == UNAVAILABLE


def test_a_damaged_backup_is_a_finding_and_a_wrong_directory_wrong_use():
    assert code(Unsound("facts.gz is another")) == FOUND == 1
    assert code(Refused("directory: no")) == USAGE == 2


@pytest.mark.parametrize(("rewinds", "ok", "exit_code"), [((), True, 0), ((), False, 1), (("x",), True, 1)])  # fmt: skip
def test_restoring_says_what_verification_found(tmp_path, rewinds, ok, exit_code):
    report = {**(SOUND if ok else UNSOUND), "rewinds": list(rewinds), "events": 9}
    result = run(None, "restore", str(tmp_path), "--to", "place", directly=lambda *_, **__: report)
    assert result.exit_code == exit_code
    assert result.stdout.startswith("restored 9 events")


def test_the_vault_is_copied_only_by_who_may_read_it():
    result = run(Gateway(), "backup", "today", "--with-secrets")
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
