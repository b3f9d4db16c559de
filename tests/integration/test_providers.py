"""Our providers pass the suite of every provider."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

import pytest

from contracts.http.agent import Fence, SecretFile, StartCommand, StopCommand
from contracts.types import Launch
from services.chassis.agents import Access, Agents
from services.chassis.errors import Refused, Unavailable
from services.deployer.providers import PROVIDERS
from services.deployer.providers.node_agent import NodeAgent
from tests.fake_agent import FakeAgent
from tests.shared.provider import ProviderSuite


@dataclass(frozen=True)
class Place:
    node_id: str
    url: str


@pytest.fixture
async def provider():
    made = PROVIDERS["node_agent"](Access(answer_s=1.0))
    yield made
    await made.close()


class TestNodeAgentWithAFakeAgent(ProviderSuite):
    @pytest.fixture
    async def agent(self):
        async with FakeAgent() as made:
            yield made

    @pytest.fixture
    def place(self, agent):
        return Place("node-1", agent.url)

    @pytest.fixture
    def node(self, agent):
        async def cut():
            agent.mode = "silent"

        return {
            "gpu_uuid": "GPU-0",
            "boot_id": "boot-1",
            "template": "echo",
            "parameters": {},
            "cut": cut,
        }


TEMPLATES = """
sleeper:
  description: Is ready at once and sleeps.
  argv:
    - "{python}"
    - -c
    - "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    - "{ready_file}"
  ready: {kind: file}
  ready_timeout_s: 30
  stop_grace_s: 2
"""
TOKEN = "a-token-for-this-test-only"


class TestNodeAgentWithTheRealAgent(ProviderSuite):
    @pytest.fixture
    async def agent(self, tmp_path):
        (tmp_path / "templates.yaml").write_text(TEMPLATES)
        settings = {
            "QM_NODE_ID": "node-1",
            "QM_AGENT_PORT": str(a_free_port()),
            "QM_AGENT_STATE": str(tmp_path / "agent"),
            "QM_AGENT_TOKEN": TOKEN,
            "QM_AGENT_TEMPLATES": str(tmp_path / "templates.yaml"),
            "QM_VIRTUAL_GPUS": "2",
            "QM_BOOT_ID": "boot-1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", "agent", env={**os.environ, **settings}
        )
        agent = Agents(Access(token=TOKEN)).connect(f"http://127.0.0.1:{settings['QM_AGENT_PORT']}")
        try:
            yield process, settings, await answering(agent)
        finally:
            await end_workers(agent)
            await agent.close()
            if process.returncode is None:
                process.terminate()
            await process.wait()

    @pytest.fixture
    async def provider(self):
        made = PROVIDERS["node_agent"](Access(token=TOKEN, answer_s=5.0))
        yield made
        await made.close()

    @pytest.fixture
    def place(self, agent):
        return Place("node-1", f"http://127.0.0.1:{agent[1]['QM_AGENT_PORT']}")

    @pytest.fixture
    def node(self, agent):
        process, _, status = agent

        async def cut():
            process.terminate()
            await process.wait()

        return {
            "gpu_uuid": status.gpus[0].uuid,
            "boot_id": "boot-1",
            "template": "sleeper",
            "parameters": {},
            "cut": cut,
        }


def a_free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


async def answering(agent):
    async with asyncio.timeout(30):
        while True:
            try:
                return await agent.status()
            except Unavailable:
                await asyncio.sleep(0.1)


async def end_workers(agent):
    """End what the test left running, unless its agent is gone: then nothing was started."""
    with suppress(Unavailable):
        for report in (await agent.status()).instances:
            command = StopCommand(fence=Fence(epoch=9, position=99), grace_s=1.0)
            await agent.stop(report.instance_id, command)


async def test_no_secret_travels_an_open_line_to_another_machine():
    provider = NodeAgent(Access())
    command = StartCommand(
        instance_id="i-1",
        model_name="llama",
        gpu_uuid="GPU-0",
        boot_id="boot-1",
        launch=Launch(template="echo"),
        fence=Fence(epoch=1, position=1),
        secret_files=(SecretFile(variable="QM_QUEUE_FILE", content="{}"),),
    )
    with pytest.raises(Refused) as refused:
        await provider.start(Place("node-1", "http://10.255.255.1:9000"), command)
    assert refused.value.numbers["code"] == "secret_needs_tls"
    await provider.close()
