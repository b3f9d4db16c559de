"""The lines to the machines: late, cut, deaf on one side, and now and then a command arrives late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.chassis.errors import Conflict, Fenced, NotFound, QuartermasterError, Unavailable
from tests.simulation.loop import WORLD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from contracts.http.agent import (
        InstanceAnswer,
        KillCommand,
        Killed,
        NodeStatus,
        StartCommand,
        StopCommand,
    )
    from services.agent.handlers.agent import Agent
    from services.deployer.handlers import Place
    from tests.simulation.machines import Machine
    from tests.simulation.weather import Sky

ANSWER_S = 3.0
LATEST_S = 120.0


class Lines:
    """Reaches every machine by its URL."""

    def __init__(self, sky: Sky, machines: dict[str, Machine]) -> None:
        self._sky, self._machines = sky, machines

    def connect(self, url: str) -> Client:
        """Return a client of the agent there."""
        return Client(self, url)

    async def ask(
        self,
        url: str,
        work: Callable[[Agent], Awaitable[Any]],
        *,
        wait_s: float = 0.0,
        command: bool = False,
    ) -> Any:
        """Return the agent's answer, or Unavailable when none came in time."""
        try:
            async with asyncio.timeout(wait_s + ANSWER_S):
                return await self._exchange(self._machines[url], work, command=command)
        except TimeoutError as error:
            raise Unavailable("the agent did not answer in time") from error

    async def _exchange(
        self, machine: Machine, work: Callable[[Agent], Awaitable[Any]], *, command: bool
    ) -> Any:
        await asyncio.sleep(self._sky.delay_s())
        if command and self._sky.comes("command_stuck"):
            self._sky.loop.begin(WORLD, self._arrives_late(machine, work))
            await self._never()
        if machine.cut:
            await self._never()
        answer = await self._at_agent(machine, work)
        await asyncio.sleep(self._sky.delay_s())
        if machine.cut or self._sky.comes("answer_lost"):
            await self._never()
        if isinstance(answer, QuartermasterError):
            raise answer
        return answer

    async def _at_agent(self, machine: Machine, work: Callable[[Agent], Awaitable[Any]]) -> Any:
        """Return what the agent's process answers; whoever dies meanwhile answers nothing."""
        agent, process = machine.agent, machine.process
        if agent is None or process is None:
            raise Unavailable("connection refused")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            agent.touch()
            try:
                said = await work(agent)
            except QuartermasterError as error:
                said = self._as_client_sees(error)
            if not answer.done():
                answer.set_result(said)

        self._sky.loop.begin(process, serve())
        return await answer

    def _as_client_sees(self, error: QuartermasterError) -> QuartermasterError:
        code = str(error.numbers.get("code") or error.code)
        self._sky.happened[f"agent_{code}"] += 1
        kind: type[QuartermasterError] = type(error)
        if isinstance(error, Fenced):
            kind = Conflict
        elif isinstance(error, NotFound):
            kind = NotFound
        return kind(f"the agent answered: {error.detail}", code=code)

    async def _arrives_late(
        self, machine: Machine, work: Callable[[Agent], Awaitable[Any]]
    ) -> None:
        await asyncio.sleep(self._sky.chances.network.uniform(ANSWER_S, LATEST_S))
        if machine.agent is not None and not machine.cut:
            self._sky.happened["arrived_late"] += 1
            await self._at_agent(machine, work)

    async def _never(self) -> None:
        await asyncio.get_running_loop().create_future()


class Client:
    """What the node monitor holds of one agent."""

    def __init__(self, lines: Lines, url: str) -> None:
        self._lines, self._url = lines, url

    async def status(self, since: int | None = None, wait_s: float = 0.0) -> NodeStatus:
        """Return everything about the node."""
        return await self._lines.ask(
            self._url, lambda agent: agent.status(since, wait_s), wait_s=wait_s
        )

    async def instance(self, instance_id: str, wait_s: float = 0.0) -> InstanceAnswer:
        """Return how an instance is."""
        return await self._lines.ask(
            self._url, lambda agent: agent.instance(instance_id, wait_s), wait_s=wait_s
        )

    async def close(self) -> None:
        """Do nothing: there is no connection."""


class SimProvider:
    """What the deployer holds of all agents."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def start(self, place: Place, command: StartCommand) -> InstanceAnswer:
        """Start an instance."""
        return await self._lines.ask(place.url, lambda agent: agent.start(command), command=True)

    async def await_ready(self, place: Place, instance_id: str, wait_s: float) -> InstanceAnswer:
        """Return how an instance is."""
        return await self._lines.connect(place.url).instance(instance_id, wait_s)

    async def stop(self, place: Place, instance_id: str, command: StopCommand) -> InstanceAnswer:
        """End an instance."""
        return await self._lines.ask(
            place.url,
            lambda agent: agent.stop(instance_id, command),
            wait_s=command.grace_s,
            command=True,
        )

    async def kill(self, place: Place, pid: int, command: KillCommand) -> Killed:
        """Kill a process."""
        return await self._lines.ask(place.url, lambda agent: agent.kill(pid, command))

    async def is_left(self, place: Place, gpu_uuid: str, pid: int | None) -> bool:
        """Return whether a GPU is there, and not held by a process, whoever started that."""
        status = await self._lines.connect(place.url).status()
        return any(gpu.uuid == gpu_uuid and pid not in gpu.foreign_pids for gpu in status.gpus)

    async def close(self) -> None:
        """Do nothing: there is no connection."""
