"""Passwords, choices, places and records of the local engines, without starting any."""

import base64
import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from deploy.local import access, choice, engines, packages, processes
from deploy.local.errors import EngineError
from deploy.local.places import make_directory, make_state, private_place, replace_file

FOREIGN = {
    "QM_AMQP_URL": "amqps://one:secret@broker.example:5671/fleet",
    "QM_MANAGEMENT_URL": "https://broker.example:15671",
    "QM_DATABASE_URL": "postgresql://one:secret@db.example:5433/fleet",
}


def test_passwords_are_made_once_and_kept(tmp_path: Path) -> None:
    first = access.credentials_of(tmp_path)
    assert access.credentials_of(tmp_path) == first
    assert stat.S_IMODE((tmp_path / access.FILE).stat().st_mode) == 0o600
    everybody = [*first.broker.values(), *first.database.values()]
    assert len(set(everybody)) == len(everybody)


def test_a_new_service_gets_a_password_and_the_others_keep_theirs(tmp_path: Path) -> None:
    first = access.credentials_of(tmp_path)
    older = {name: word for name, word in first.broker.items() if name != "alerter"}
    content = {"broker": older, "database": first.database}
    (tmp_path / access.FILE).write_text(json.dumps(content))
    second = access.credentials_of(tmp_path)
    assert {**second.broker, "alerter": ""} == {**first.broker, "alerter": ""}


def test_unreadable_credentials_are_named_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / access.FILE).write_text("{")
    with pytest.raises(EngineError, match="restore it"):
        access.credentials_of(tmp_path)
    assert (tmp_path / access.FILE).read_text() == "{"


def test_the_broker_never_sees_a_password_only_its_salted_hash(tmp_path: Path) -> None:
    credentials = access.credentials_of(tmp_path)
    text = access.definitions(credentials)
    assert not any(word in text for word in credentials.broker.values())
    salted = base64.b64decode(access.password_hash("alerter", "word"))
    assert salted[4:] == hashlib.sha256(salted[:4] + b"word").digest()


def test_what_a_person_names_comes_before_local_binaries() -> None:
    assert choice.origin_of("broker", FOREIGN) == choice.GIVEN
    assert choice.origin_of("database", FOREIGN) == choice.GIVEN
    assert choice.origin_of("broker", {}) == choice.LOCAL
    assert choice.origin_of("database", {}) == choice.LOCAL


def test_a_broker_without_its_management_api_is_refused() -> None:
    with pytest.raises(EngineError, match="QM_AMQP_URL is set alone"):
        choice.origin_of("broker", {"QM_AMQP_URL": "amqp://broker.example"})


def test_engines_of_others_are_used_and_not_started(tmp_path: Path) -> None:
    given = engines.start(tmp_path, FOREIGN | {"QM_TRUST_SINGLE_USER": "1"})
    assert (given.amqp_host, given.amqp_port, given.postgres_port) == ("broker.example", 5671, 5433)
    assert given.urls("journal") == {
        key: FOREIGN[key] for key in ("QM_AMQP_URL", "QM_DATABASE_URL")
    }
    assert engines.status(tmp_path) == {"postgres": "stopped", "rabbitmq": "stopped"}


def test_one_user_for_all_services_must_be_asked_for(tmp_path: Path) -> None:
    given = engines.attach(tmp_path, FOREIGN)
    with pytest.raises(EngineError, match="QM_TRUST_SINGLE_USER=1"):
        given.urls("scheduler")


def test_a_directory_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state = make_state(closed / "state")
    make_directory(closed)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.stat().st_mode) == 0o711


def test_a_private_place_that_somebody_else_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    place = private_place(tmp_path / "state")
    place.rmdir()
    place.symlink_to("/")
    with pytest.raises(EngineError, match="belongs to somebody else"):
        private_place(tmp_path / "state")


def test_a_replaced_file_is_secret_from_its_first_byte(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    replace_file(file, "new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)


def test_a_recycled_id_is_not_our_process(tmp_path: Path) -> None:
    record = tmp_path / "sleep.json"
    env = {"PATH": "/usr/bin:/bin"}
    ours = processes.spawn(
        ["sleep", "61.25"], word="61.25", record=record, log=tmp_path / "log", env=env
    )
    assert processes.find(processes.recall(record)) is not None
    for change in ({"created": ours.created + 60}, {"word": "else"}, {"boot": "an earlier one"}):
        record.write_text(json.dumps(vars(ours) | change))
        assert processes.find(processes.recall(record)) is None, change
    record.write_text(json.dumps(vars(ours)))
    processes.kill(record)
    assert record.exists()
    assert not psutil.pid_exists(ours.pid)


STARTER = """
import sys
from pathlib import Path
from deploy.local import processes
root = Path(sys.argv[1])
processes.spawn(
    ["sleep", "61.75"], word="61.75", record=root / "sleep.json", log=root / "log",
    env={"PATH": "/usr/bin:/bin"}, outlives=sys.argv[2] == "outlives",
)
"""


@pytest.mark.parametrize("how", ["outlives", "does not"])
def test_only_what_is_meant_to_outlives_its_starter_in_silence(tmp_path: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", STARTER, str(tmp_path), how],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    record = tmp_path / "sleep.json"
    assert processes.find(processes.recall(record)) is not None
    processes.kill(record)
    assert ("still running" in done.stderr) == (how == "does not")


def test_half_a_record_counts_as_none(tmp_path: Path) -> None:
    record = tmp_path / "half.json"
    record.write_text('{"pid": 1, ')
    assert processes.recall(record) is None


class Apt:
    """A package manager that fails until its lists are updated."""

    def __init__(self, policy: Path) -> None:
        self.policy = policy
        self.calls: list[str] = []
        self.forbade: list[bool] = []

    def run(self, command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        self.calls.append(" ".join(command[:2]))
        self.forbade.append(self.policy.exists())
        rc = 0 if "apt-get update" in self.calls else 100
        return subprocess.CompletedProcess(list(command), rc, stdout="", stderr="no such package")


def test_root_installs_the_broker_without_starting_the_systems_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = Apt(tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "POLICY", apt.policy)
    monkeypatch.setattr(packages, "_run", apt.run)
    packages._install()
    assert apt.calls == ["apt-get install", "apt-get update", "apt-get install"]
    assert all(apt.forbade)
    assert not apt.policy.exists()


def test_a_policy_of_the_machine_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = Apt(tmp_path / "policy-rc.d")
    apt.policy.write_text("theirs")
    monkeypatch.setattr(packages, "POLICY", apt.policy)
    monkeypatch.setattr(packages, "_run", apt.run)
    packages._install()
    assert apt.policy.read_text() == "theirs"


def test_who_may_not_install_is_told_the_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_run", Apt(tmp_path / "none").run)
    command = "Run: sudo apt-get install --no-install-recommends rabbitmq-server"
    with pytest.raises(EngineError, match=command):
        packages._unpack(tmp_path / "prefix")
