"""Our providers pass the suite of every provider."""

from dataclasses import dataclass

import pytest

from contracts.http.agent import Fence, SecretFile, StartCommand
from contracts.types import Launch
from services.chassis.agents import Access
from services.chassis.errors import Refused
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
            "pid_to_kill": 4711,
            "cut": cut,
        }


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
