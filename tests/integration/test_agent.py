"""The node agent with real processes: what it starts, keeps, finds again and ends."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import threading
from pathlib import Path

import psutil
import pytest

from services.chassis.agents import Access, Agents
from services.chassis.errors import NotFound
from tests.agent_node import TOKEN, AgentNode, wait_for


@pytest.fixture
def node(tmp_path):
    made = AgentNode(tmp_path).start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    made = AgentNode(tmp_path_factory.mktemp("lasting")).start()
    yield made
    made.close()


@pytest.fixture
def shared(lasting):
    """One agent for all who leave it as it is: a start costs a second of a processor."""
    yield lasting
    lasting.next_turn()


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def test_virtual_gpus_keep_their_uuids(node):
    before = node.gpus()
    assert len(set(before)) == 2
    node.end(signal.SIGTERM)
    assert node.start().gpus() == before


@pytest.mark.parametrize("template", ["calm", "http", "line"])
def test_a_worker_becomes_ready_as_its_template_says(shared, template):
    assert shared.begin("i-1", template)["instance"]["state"] in {"starting", "ready"}
    answer = shared.until("i-1", "ready")
    assert psutil.pid_exists(answer["instance"]["pid"])
    assert answer["load_s"] > 0
    assert (answer["instance"]["endpoint"] is not None) == (template == "http")


def test_the_same_start_again_starts_nothing(shared):
    command = shared.command("i-1")
    first = shared.http.post("/instances", json=command).json()
    again = shared.http.post("/instances", json=command).json()
    assert first["instance"]["pid"] == again["instance"]["pid"]
    assert len(shared.workers()) == 1


def test_a_stop_confirms_the_death_and_again_says_the_same(shared):
    pid = shared.begin("i-1")["instance"]["pid"]
    for _ in range(2):
        answer = shared.stop("i-1").json()
        assert answer["instance"]["state"] == "exited"
        assert answer["instance"]["error_code"] is None
        assert answer["instance"]["exit_code"] == -signal.SIGTERM
    assert not psutil.pid_exists(pid)


def test_what_never_ran_is_stopped_and_its_late_start_is_refused(shared):
    late = shared.command("i-1")
    assert shared.stop("i-1").json()["instance"]["state"] == "exited"
    assert problem(shared.http.post("/instances", json=late), 409)["code"] == "fenced"
    assert shared.workers() == []


def test_a_held_gpu_is_refused_with_its_holder(shared):
    shared.begin("i-1")
    refused = problem(shared.http.post("/instances", json=shared.command("i-2")), 409)
    assert refused["code"] == "held"
    assert refused["numbers"]["holder"] == shared.called("i-1")
    assert shared.begin("i-3", gpu=1)["instance"]["gpu_uuid"] == shared.gpus()[1]


def test_an_older_command_is_fenced_also_after_a_restart(node):
    old = node.command("i-old")
    node.begin("i-1")
    stale_stop = {"fence": {"epoch": 0, "position": 99}}
    assert problem(node.http.post("/instances/i-1/stop", json=stale_stop), 409)["code"] == "fenced"
    node.stop("i-1")
    node.end(signal.SIGKILL)
    node.start()
    assert problem(node.http.post("/instances", json=old), 409)["code"] == "fenced"


def test_a_killed_agent_finds_its_workers_again(node):
    node.begin("i-1", "http")
    before = node.until("i-1", "ready")["instance"]
    change = node.http.get("/status").json()["change"]
    node.end(signal.SIGKILL)
    assert psutil.pid_exists(before["pid"])
    node.start()
    status = node.http.get("/status").json()
    assert status["instances"] == [before]
    assert status["change"] > change
    held = problem(node.http.post("/instances", json=node.command("i-2")), 409)
    assert held["numbers"]["holder"] == "i-1"
    assert node.stop("i-1").json()["instance"]["state"] == "exited"
    assert node.workers() == []


def test_an_agent_told_to_end_leaves_its_workers_alive(node):
    pid = node.begin("i-1")["instance"]["pid"]
    node.until("i-1", "ready")
    assert node.end(signal.SIGTERM) == 0
    assert psutil.pid_exists(pid)
    assert node.start().instance("i-1")["instance"]["state"] == "ready"


def test_the_death_of_an_adopted_worker_is_noticed(node):
    pid = node.begin("i-1")["instance"]["pid"]
    node.until("i-1", "ready")
    node.end(signal.SIGKILL)
    node.start()
    change = node.http.get("/status").json()["change"]
    psutil.Process(pid).kill()
    status = node.http.get(f"/status?since={change}&wait_s=20").json()
    assert status["instances"][0]["state"] == "exited"
    assert status["instances"][0]["error_code"] == "exited"


def test_a_worker_that_died_while_the_agent_was_away_is_reported_dead(node):
    pid = node.begin("i-1")["instance"]["pid"]
    node.until("i-1", "ready")
    node.end(signal.SIGKILL)
    psutil.Process(pid).kill()
    answer = node.start().until("i-1", "exited")
    assert answer["error_code"] == "lost"
    assert node.begin("i-2")["instance"]["state"] in {"starting", "ready"}


def test_a_start_cut_off_before_its_pid_was_kept_is_found_by_its_marks(node):
    pid = node.begin("i-1")["instance"]["pid"]
    node.until("i-1", "ready")
    node.end(signal.SIGKILL)
    path = node.state / "state.json"
    kept = json.loads(path.read_text())
    kept["instances"]["i-1"] |= {"pid": 0, "born": 0.0, "state": "starting"}
    path.write_text(json.dumps(kept))
    assert node.start().until("i-1", "ready")["instance"]["pid"] == pid


def test_a_worker_that_nobody_remembers_does_not_stay(node):
    node.begin("i-1")
    node.end(signal.SIGKILL)
    (node.state / "state.json").unlink()
    node.start()
    assert node.workers() == []


def test_a_new_boot_ends_the_instances_of_the_old_one(node):
    node.begin("i-1")
    node.until("i-1", "ready")
    node.end(signal.SIGKILL)
    node.start(QM_BOOT_ID="boot-2")
    assert node.until("i-1", "exited")["error_code"] == "rebooted"
    assert node.workers() == []
    refused = problem(node.http.post("/instances", json=node.command("i-2")), 409)
    assert refused["code"] == "other_boot"


@pytest.mark.parametrize("template", ["stubborn", "stray"])
def test_a_process_that_ignores_term_is_killed_with_all_its_children(shared, template):
    shared.begin("i-1", template)
    shared.until("i-1", "ready")
    if template == "stray":
        wait_for(lambda: len(shared.workers()) == 2, "the stray child")
    answer = shared.stop("i-1", grace_s=0.3).json()
    assert answer["instance"]["state"] == "exited"
    assert shared.workers() == []


def test_the_sooner_end_counts_when_a_stop_is_repeated(shared):
    shared.begin("i-1", "stubborn")
    shared.until("i-1", "ready")
    patient = threading.Thread(target=shared.stop, args=("i-1", 20))
    patient.start()
    shared.until("i-1", "stopping")
    assert shared.stop("i-1", grace_s=0).json()["instance"]["exit_code"] == -signal.SIGKILL
    patient.join()


def test_a_worker_that_crashes_failed_and_its_last_words_are_told(shared):
    shared.begin("i-1", "crash")
    answer = shared.until("i-1", "failed")
    assert answer["instance"]["exit_code"] == 7
    assert "worker crash" in answer["log_tail"]


def test_a_worker_that_is_never_ready_failed_and_is_gone(shared):
    shared.begin("i-1", "never")
    assert shared.until("i-1", "failed")["error_code"] == "ready_timeout"
    assert shared.workers() == []


def test_a_program_that_does_not_exist_is_a_failed_start(shared):
    answer = shared.begin("i-1", "missing")
    assert answer["instance"]["state"] == "failed"
    assert answer["error_code"] == "cannot_start"


def test_a_secret_reaches_the_worker_in_a_private_file_and_nowhere_else(shared):
    canary = "canary-5c9d1f"
    secret = {"variable": "QM_QUEUE_FILE", "content": canary}
    shared.begin("i-1", secret_files=[secret])
    shared.until("i-1", "ready")
    path = shared.state / "instances" / shared.called("i-1") / "secrets/QM_QUEUE_FILE"
    assert path.read_text() == canary
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret=0o600" in shared.http.get(f"/instances/{shared.called('i-1')}/logs").text
    others = [p for p in shared.root.rglob("*") if p.is_file() and p != path]
    assert all(canary not in p.read_text() for p in others)
    shared.stop("i-1")
    assert not path.exists()


def test_a_worker_gains_no_privileges_and_inherits_only_what_is_allowed(shared):
    pid = shared.begin("i-1")["instance"]["pid"]
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    environment = psutil.Process(pid).environ()
    assert "QM_AGENT_TOKEN" not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert environment["QM_MODEL"] == "llama"


def test_logs_are_followed_to_the_workers_end(shared):
    shared.begin("i-1", "chatty")
    path = f"/instances/{shared.called('i-1')}/logs?tail=5&follow=true"
    with shared.http.stream("GET", path) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line == "beat 3")
        shared.stop("i-1")
        assert all(line.startswith("beat") for line in lines)
    assert shared.instance("i-1")["instance"]["state"] == "exited"


async def test_our_own_client_follows_logs_too(shared):
    await asyncio.to_thread(shared.begin, "i-1", "chatty")
    client = Agents(Access(token=TOKEN)).connect(f"http://127.0.0.1:{shared.port}")
    try:
        with pytest.raises(NotFound, match="there is no instance i-9"):
            await client.logs("i-9", 5, follow=True)
        told, stopping = b"", None
        async for chunk in await client.logs(shared.called("i-1"), 5, follow=True):
            told += chunk
            if b"beat 3\n" in told and stopping is None:
                stopping = asyncio.create_task(asyncio.to_thread(shared.stop, "i-1"))
        assert stopping is not None
        assert (await stopping).status_code == 200
    finally:
        await client.close()


def test_a_log_is_bounded(tmp_path):
    node = AgentNode(tmp_path, QM_LOG_MAX_BYTES="4096").start()
    try:
        node.begin("i-1", "chatty")
        log = node.state / "instances/i-1/log"
        wait_for(log.exists)
        with log.open("ab") as file:
            file.write(b"x" * 5000 + b"\n")
        wait_for(lambda: log.stat().st_size < 4096, "the rotation")
        assert "xxxx" in log.with_name("log.1").read_text()
    finally:
        node.close()


def test_a_lost_control_plane_stops_only_what_asked_for_it(tmp_path):
    node = AgentNode(tmp_path, QM_CONTACT_LEASE_S="1.5").start()
    try:
        stays = node.begin("i-1")["instance"]["pid"]
        node.begin("i-2", gpu=1, on_lost_control="stop")
        node.until("i-2", "ready")
        wait_for(lambda: len(node.workers()) == 1, "the abandoned worker's end")
        assert node.workers()[0].pid == stays
        assert node.until("i-2", "exited")["error_code"] == "lease_ended"
    finally:
        node.close()


def test_a_lease_goes_on_while_the_agent_is_away(tmp_path):
    node = AgentNode(tmp_path, QM_CONTACT_LEASE_S="60").start()
    try:
        node.begin("i-1", on_lost_control="stop")
        node.until("i-1", "ready")
        node.end(signal.SIGKILL)
        path = node.state / "state.json"
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"contact_at": "2026-01-01T00:00:00Z"}))
        node.start()
        wait_for(lambda: node.workers() == [], "the end of what the lease covered")
    finally:
        node.close()


def test_a_worker_is_killed_by_pid_and_a_strangers_process_is_not(shared):
    pid = shared.begin("i-1")["instance"]["pid"]
    shared.until("i-1", "ready")
    assert shared.process is not None
    stranger = shared.http.post(
        f"/processes/{shared.process.pid}/kill", json={"fence": shared.fence()}
    )
    assert problem(stranger, 422)["code"] == "not_ours"
    killed = shared.http.post(f"/processes/{pid}/kill", json={"fence": shared.fence()})
    assert killed.json() == {"pid": pid, "found": True}
    assert shared.until("i-1", "exited")["instance"]["exit_code"] == -signal.SIGKILL
    again = shared.http.post(f"/processes/{pid}/kill", json={"fence": shared.fence()})
    assert again.json() == {"pid": pid, "found": False}


def test_a_long_poll_is_answered_by_a_change(shared):
    change = shared.http.get("/status").json()["change"]
    assert shared.http.get(f"/status?since={change}&wait_s=0.05").json()["change"] == change
    answers = []
    url = f"/status?since={change}&wait_s=20"
    waiting = threading.Thread(target=lambda: answers.append(shared.http.get(url).json()))
    waiting.start()
    shared.begin("i-1")
    waiting.join(20)
    assert answers[0]["change"] > change


def test_two_agents_never_share_a_directory(node):
    other = AgentNode(node.root)
    with pytest.raises(AssertionError, match="another agent uses"):
        other.start()
    other.http.close()


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"launch": {"template": "nope"}}, 422, "unknown_template", "launch.template"),
        (
            {"launch": {"template": "vllm", "parameters": {"model_path": "x", "dtype": "int1"}}},
            422,
            "bad_parameter",
            "launch.parameters.dtype",
        ),
        ({"gpu": "GPU-0"}, 422, "unknown_gpu", "gpu_uuid"),
        ({"boot_id": "boot-0"}, 409, "other_boot", "boot_id"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 409, "expired", "expires_at"),
        ({"instance_id": "../etc"}, 422, "invalid", "instance_id"),
        ({"surprise": 1}, 422, "invalid", "surprise"),
        ({"fence": {"epoch": -1, "position": 0}}, 422, "invalid", "fence.epoch"),
        (
            {"secret_files": [{"variable": "LD_PRELOAD", "content": "x"}]},
            422,
            "bad_variable",
            "secret_files.0.variable",
        ),
    ],
)
def test_a_bad_start_is_refused_with_its_field(shared, change, status, code, field):
    body = shared.command("i-1", **({"gpu": change["gpu"]} if "gpu" in change else {}))
    body |= {name: value for name, value in change.items() if name != "gpu"}
    refused = problem(shared.http.post("/instances", json=body), status)
    assert refused["code"] == code
    assert field in [error["field"] for error in refused["errors"]]
    assert shared.workers() == []


def test_no_route_but_health_opens_without_the_token(shared):
    for path in ("/status", "/gpus", "/instances", "/models", "/docs", "/openapi.json"):
        for header in ("", "Bearer wrong", "Basic x"):
            answer = shared.http.get(path, headers={"authorization": header})
            assert problem(answer, 401)["code"] == "unauthorized"
    assert shared.http.get("/health", headers={"authorization": ""}).status_code == 200


def test_a_body_over_a_mebibyte_is_refused(shared):
    headers = {"content-type": "application/json"}
    answer = shared.http.post("/instances", content=b" " * (1 << 20) + b"{}", headers=headers)
    assert answer.status_code == 413
