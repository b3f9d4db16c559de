"""The people of the fleet, through the gateway's door: they register, change, start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.envelope import Draft
from contracts.events.environment import EnvironmentCreated
from contracts.events.instance import InstanceStartAsked, InstanceStopAsked
from contracts.events.model import ModelRegistered
from contracts.events.node import NodeRegistered
from contracts.types import Launch, QueueAddress, SecretRef
from services.chassis.errors import QuartermasterError
from services.chassis.ids import new_id
from services.chassis.proposer import Proposer
from tests.simulation.load import INFERENCE_S
from tests.simulation.weather import SimClock

if TYPE_CHECKING:
    from contracts.envelope import Event
    from tests.simulation.world import World

SECRET = SecretRef(secret_id="models", version=1)
# model: its floor and its most
MODELS = {"llama": (1, 3), "qwen": (1, 2), "phi": (1, 2), "whisper": (0, 2)}


def url_of(node_id: str) -> str:
    """Return where a machine's agent is."""
    return f"https://{node_id}:9000"


class People:
    """Whoever commands the fleet."""

    def __init__(self, world: World) -> None:
        self._world = world
        clock = SimClock(world.sky, "gateway")
        self._proposer = Proposer(world.broker.bus("gateway"), "gateway", clock)

    async def begin(self) -> None:
        """Register everything."""
        await self._say("environment/prod", EnvironmentCreated(environment_id="prod", name="prod"))
        for machine in self._world.machines:
            await self._say(
                f"node/{machine.name}",
                NodeRegistered(
                    node_id=machine.name,
                    environment_id="prod",
                    name=machine.name,
                    agent_url=url_of(machine.name),
                    available_gpu_ids=tuple(use.index for use in machine.uses),
                ),
            )
        for model, (floor, most) in MODELS.items():
            await self._say(
                f"model/{model}",
                ModelRegistered(
                    model_id=model,
                    environment_id="prod",
                    name=model,
                    queue=QueueAddress(
                        host="models", name=model, username="sampler", password=SECRET
                    ),
                    average_inference_time_s=INFERENCE_S,
                    launch=Launch(template="worker"),
                    min_instances=floor,
                    max_instances=most,
                ),
            )

    async def ask(self) -> None:
        """Ask for an instance to be started or stopped by hand."""
        world, log = self._world, self._world.log.checker.invariants
        wanted = sorted(log.requested.keys() - log.ended)
        if wanted and world.between(0, 1) < 0.6:
            instance_id = wanted[-1] if world.between(0, 1) < 0.5 else world.pick(wanted)
            node_id = log.places[log.requested[instance_id]]
            event: Event = InstanceStopAsked(instance_id=instance_id, node_id=node_id)
            await self._say(f"instance/{instance_id}", event)
            return
        ask_id = new_id("ask")
        event = InstanceStartAsked(
            ask_id=ask_id,
            model_id=world.pick(list(MODELS)),
            node_id=world.pick(world.machines).name,
        )
        await self._say(f"ask/{ask_id}", event)

    async def _say(self, stream: str, event: Event) -> None:
        try:
            await self._proposer.propose(Draft(stream, event))
        except QuartermasterError:
            self._world.sky.happened["people_were_told_no"] += 1
