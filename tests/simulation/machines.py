"""GPU machines: processes that live and die by the seed, and the real agent that starts them."""

from __future__ import annotations

import asyncio
import signal
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from contracts.types import GpuUse
from services.agent.decide.commands import Offer
from services.agent.decide.launch import Template
from services.agent.handlers.agent import Agent
from services.agent.handlers.outside import Outside, Terms
from services.agent.state import Kept, State, Worker
from services.chassis.errors import Unavailable
from services.chassis.health import Health
from tests.simulation.loop import PROCESS, WORLD, Process
from tests.simulation.weather import SimClock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from contracts.http.agent import SecretFile
    from contracts.types import Gpu
    from tests.simulation.weather import Sky

TEMPLATE = Template(
    name="worker",
    argv=("worker", "--model={model}"),
    ready={"kind": "file"},
    ready_timeout_s=120.0,
    stop_grace_s=5.0,
)
FOLDER = Path("/instances")
RESTART_S = 2.0
QUIET = SimpleNamespace(info=lambda *_, **__: None)


@dataclass(eq=False)
class Body:
    """One operating system's process that serves a model."""

    pid: int
    born: float
    instance_id: str
    model: str
    gpu: int
    ready_at: float
    parent: Process
    stubborn: bool = False
    exit_code: int | None = None
    alive: bool = True
    mourners: list[asyncio.Future[None]] = field(default_factory=list)


class Machine:
    """A machine: what it runs is the truth that everybody else only hears of."""

    def __init__(self, sky: Sky, name: str, gpus: int) -> None:
        self.sky, self.name = sky, name
        self.boots, self.pids = 1, 1000
        self.bodies: list[Body] = []
        self.kept: bytes | None = None
        self.cut = False
        self.agent: Agent | None = None
        self.process: Process | None = None
        self.uses = tuple(
            GpuUse(uuid=f"GPU-{name}-{index}", index=index, name="sim", memory_mb=80_000)
            for index in range(gpus)
        )

    @property
    def boot_id(self) -> str:
        """Return the id of this boot."""
        return f"{self.name}-boot-{self.boots}"

    @property
    def living(self) -> list[Body]:
        """Return what runs."""
        return [body for body in self.bodies if body.alive]

    def start_agent(self) -> None:
        """Start the agent's process; it takes up what still runs."""
        self.process = Process(f"agent-{self.name}")
        self.sky.loop.begin(self.process, self._serve(self.process))

    async def _serve(self, process: Process) -> None:
        clock = SimClock(self.sky, self.name)
        outside = Outside(
            gpus=_Gpus(self),
            processes=_Processes(self),
            store=_Store(self),
            folders=_Folders(),
            logs=_Logs(),
            is_ready=self._is_ready,
            free_port=lambda _, __: 1,
            clock=clock,
        )
        terms = Terms("127.0.0.1", "127.0.0.1", {}, 45.0, "python", "sim")
        offer = Offer({TEMPLATE.name: TEMPLATE}, frozenset({"*"}))
        state = State(self.name, self.boot_id)
        agent = Agent(state, offer, outside, terms, Health("agent"), QUIET)
        if self.kept is not None and self.living:
            self.sky.happened["adopted"] += 1
        try:
            await agent.wake()
            self.agent = agent
            await agent.run()
        except Unavailable:
            self.sky.happened["agent_gave_up"] += 1
        except Exception as error:  # noqa: BLE001 (whatever it was, it is a finding)
            self.sky.violate(f"the agent of {self.name} broke: {error!r}")
        self.agent = None
        await asyncio.sleep(RESTART_S)
        self.start_agent()

    def crash_agent(self) -> None:
        """Kill the agent; its workers live on."""
        if self.process is not None:
            self.sky.loop.kill(self.process)
        self.agent = self.process = None

    def reboot(self) -> None:
        """Lose every process, and come up with a new boot id once the agent starts."""
        self.crash_agent()
        for body in self.living:
            self.end(body, None)
        self.boots += 1

    def spawn(self, instance_id: str, environment: Mapping[str, str]) -> Worker:
        """Start a worker; two at once on one GPU is what must never be."""
        chance, gpu = self.sky.chances.load, int(environment["CUDA_VISIBLE_DEVICES"])
        for other in self.living:
            if other.gpu == gpu:
                self.sky.violate(
                    f"G2: {instance_id} is started on GPU {gpu} of {self.name}, where "
                    f"{other.instance_id} still runs"
                )
        self.pids += 1
        now = self.sky.loop.time()
        body = Body(
            self.pids,
            now,
            instance_id,
            environment["QM_MODEL"],
            gpu,
            now + chance.uniform(0.5, 20.0),
            PROCESS.get(),
            stubborn=chance.random() < 0.1,  # one in ten ignores SIGTERM
        )
        self.bodies.append(body)
        if self.sky.comes("worker_fails"):
            self._later(chance.uniform(0.1, 10.0), body, 1)
            body.ready_at = float("inf")
        return Worker(instance_id, body.pid, body.born)

    def _is_ready(self, _: object, ready_file: Path, __: Path) -> bool:
        body = self.body_of(ready_file.parent.name)
        return body is not None and body.ready_at <= self.sky.loop.time()

    def body_of(self, instance_id: str) -> Body | None:
        """Return what runs of an instance."""
        return next((body for body in self.living if body.instance_id == instance_id), None)

    def end(self, body: Body, exit_code: int | None) -> None:
        """A process dies."""
        if not body.alive:
            return
        body.alive, body.exit_code = False, exit_code
        for mourner in body.mourners:
            if not mourner.done():
                mourner.set_result(None)

    def _later(self, delay_s: float, body: Body, exit_code: int | None) -> None:
        context = copy_context()
        context.run(PROCESS.set, WORLD)
        self.sky.loop.call_later(delay_s, self.end, body, exit_code, context=context)

    def terminate(self, body: Body) -> None:
        """Ask a process to end; a stubborn one does not."""
        if not body.stubborn:
            self._later(self.sky.chances.load.uniform(0.0, 3.0), body, 0)

    def kill(self, body: Body) -> None:
        """Kill a process, which takes effect when the kernel comes to it."""
        self._later(self.sky.chances.load.uniform(0.0, 0.5), body, -signal.SIGKILL)


class _Gpus:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def use(self) -> tuple[GpuUse, ...]:
        pids: dict[int, tuple[int, ...]] = {}
        for body in self._machine.living:
            pids[body.gpu] = (*pids.get(body.gpu, ()), body.pid)
        return tuple(
            use.model_copy(update={"foreign_pids": pids.get(use.index, ())})
            for use in self._machine.uses
        )

    def visible(self, gpu: Gpu) -> str:
        return str(gpu.index)


class _Processes:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def spawn(
        self, instance_id: str, _: Sequence[str], environment: Mapping[str, str], __: Path
    ) -> Worker:
        return self._machine.spawn(instance_id, environment)

    def find(self, worker: Worker) -> Worker | None:
        body = self._machine.body_of(worker.instance_id)
        return None if body is None else Worker(worker.instance_id, body.pid, body.born)

    def tree(self, worker: Worker) -> list[int]:
        return [b.pid for b in self._machine.living if b.instance_id == worker.instance_id]

    def owners(self) -> dict[int, str]:
        return {body.pid: body.instance_id for body in self._machine.living}

    def signal(self, worker: Worker, number: signal.Signals) -> int:
        mine = [b for b in self._machine.living if b.instance_id == worker.instance_id]
        for body in mine:
            (self._machine.kill if number == signal.SIGKILL else self._machine.terminate)(body)
        return len(mine)

    def kill(self, pid: int) -> bool:
        body = next((b for b in self._machine.living if b.pid == pid), None)
        if body is not None:
            self._machine.kill(body)
        return body is not None

    def alive(self, pid: int) -> bool:
        return any(body.pid == pid for body in self._machine.living)

    async def gone(self, worker: Worker) -> int | None:
        body = next((b for b in self._machine.bodies if b.pid == worker.pid), None)
        if body is None:
            return None
        if body.alive:
            mourner = asyncio.get_running_loop().create_future()
            body.mourners.append(mourner)
            await mourner
        return body.exit_code if body.parent is PROCESS.get() else None


class _Store:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def load(self) -> Kept | None:
        kept = self._machine.kept
        return None if kept is None else Kept.model_validate_json(kept)

    def save(self, kept: Kept) -> None:
        if self._machine.sky.comes("save_failed"):
            raise Unavailable("the disk is full")
        self._machine.kept = kept.model_dump_json().encode()


class _Folders:
    def log(self, instance_id: str) -> Path:
        return FOLDER / instance_id / "log"

    def ready_file(self, instance_id: str) -> Path:
        return FOLDER / instance_id / "ready"

    def prepare(self, _: str, secrets: Iterable[SecretFile]) -> dict[str, str]:
        return {secret.variable: "/secret" for secret in secrets}

    def forget_secrets(self, _: str) -> None:
        """Do nothing: there is no disk."""

    def keep_only(self, _: Collection[str]) -> None:
        """Do nothing: there is no disk."""


class _Logs:
    def end(self, _: str, __: int) -> str:
        return ""

    def rotate(self, _: str) -> bool:
        return False

    def last_lines(self, *_: Any) -> tuple[str, int]:
        return "", 0

    def read_on(self, *_: Any) -> tuple[bytes, int]:
        return b"", 0
