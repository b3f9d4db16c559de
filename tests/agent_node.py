"""A real agent in a process of its own, for tests that want to be its control plane."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

REPOSITORY = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("agent_worker.py")
TOKEN = "a-token-for-the-tests-only"
BOOT = "boot-1"
FILE, LINE, HTTP = {"kind": "file"}, {"kind": "line", "text": "serving"}, {"kind": "http"}
LISTED = HTTP | {"path": "/v1/models", "model_listed": True}
DEADLINE_S = 20.0


def _template(mode: str, ready: dict[str, Any], **more: Any) -> dict[str, Any]:
    argv = ["{python}", str(WORKER), mode]
    return {"argv": [*argv, "--port={port}"] if ready["kind"] == "http" else argv} | {
        "ready": ready,
        "ready_timeout_s": 15,
        "stop_grace_s": 0.5,
        **more,
    }


TEMPLATES = {
    "calm": _template("calm", FILE),
    "chatty": _template("chatty", FILE),
    "stubborn": _template("stubborn", FILE),
    "stray": _template("stray", FILE),
    "crash": _template("crash", FILE),
    "never": _template("never", FILE, ready_timeout_s=0.3),
    "http": _template("http", LISTED),
    "line": _template("http", HTTP) | {"ready": LINE},
    "missing": _template("x", FILE) | {"argv": ["/no/such/program"]},
}


def wait_for(condition: Any, what: str = "the condition") -> Any:
    """Return the first truthy answer; fails after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {DEADLINE_S} s")


class AgentNode:
    """Starts, kills and asks one agent; `close` leaves no process behind."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root, self.state = root, root / "state"
        templates = root / "templates.yaml"
        templates.write_text(yaml.safe_dump(TEMPLATES))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.environment = {
            "PATH": os.environ["PATH"],
            "QM_NODE_ID": "node-1",
            "QM_AGENT_PORT": str(self.port),
            "QM_AGENT_STATE": str(self.state),
            "QM_AGENT_TOKEN": TOKEN,
            "QM_AGENT_TEMPLATES": str(templates),
            "QM_VIRTUAL_GPUS": "2",
            "QM_BOOT_ID": BOOT,
            **settings,
        }
        self.http = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=30,
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.position, self.turn = 0, 0

    def called(self, instance_id: str) -> str:
        """Return what the agent calls an instance of this turn; each test that shares it has one."""
        return f"{instance_id}-{self.turn}" if self.turn else instance_id

    def start(self, **settings: str) -> AgentNode:
        self.environment |= settings
        with (self.root / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services", "agent"],
                env=self.environment,
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(self._answers, "the agent's health")
        except BaseException:
            self.close()  # nobody else will: a fixture that fails has nothing to close
            raise
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "agent.log").read_text()
        with suppress(httpx2.TransportError):
            return self.http.get("/health").status_code == 200
        return False

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def gpus(self) -> list[str]:
        return [gpu["uuid"] for gpu in self.http.get("/gpus").json()]

    def fence(self, epoch: int = 1) -> dict[str, int]:
        self.position += 1
        return {"epoch": epoch, "position": self.position}

    def command(self, instance_id: str, template: str = "calm", **more: Any) -> dict[str, Any]:
        gpu = more.pop("gpu", 0)
        return {
            "instance_id": self.called(instance_id),
            "model_name": "llama",
            "gpu_uuid": self.gpus()[gpu] if isinstance(gpu, int) else gpu,
            "boot_id": BOOT,
            "launch": {"template": template, "parameters": {}},
            "fence": self.fence(),
            **more,
        }

    def begin(self, instance_id: str, template: str = "calm", **more: Any) -> dict[str, Any]:
        answer = self.http.post("/instances", json=self.command(instance_id, template, **more))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self, instance_id: str, grace_s: float = 5, **more: Any) -> httpx2.Response:
        body = {"fence": self.fence(), "grace_s": grace_s, **more}
        return self.http.post(f"/instances/{self.called(instance_id)}/stop", json=body)

    def instance(self, instance_id: str) -> dict[str, Any]:
        return self.http.get(f"/instances/{self.called(instance_id)}").json()

    def until(self, instance_id: str, state: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            answer = self.instance(instance_id)
            return answer if answer["instance"]["state"] == state else None

        return wait_for(there, f"{instance_id} {state}")

    def workers(self) -> list[psutil.Process]:
        """Every process whose environment names this node's directory."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                marked = process.environ().get("QM_READY_FILE", "").startswith(str(self.state))
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def next_turn(self) -> None:
        """Kill what this turn left running; ids are free again."""
        for instance in self.http.get("/instances").json():
            body = {"fence": self.fence(), "grace_s": 0}
            self.http.post(f"/instances/{instance['instance_id']}/stop", json=body)
        self.turn += 1

    def close(self) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            try:
                self.end(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.end(signal.SIGKILL)
        for worker in self.workers():
            worker.kill()
        # Not until init has reaped them too, which may take seconds.
        wait_for(lambda: not self.workers(), "the end of the workers")
