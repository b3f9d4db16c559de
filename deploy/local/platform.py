"""The platform on this machine: engines, schema, and every service as a process of its own."""

import asyncio
import base64
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
from dotenv import dotenv_values

from deploy.local import engines, ports, supervisor
from deploy.local.choice import AMQP_URL, DATABASE_URL
from deploy.local.cluster import Cluster
from deploy.local.engines import EngineError, Engines
from deploy.local.places import make_state, private_place, replace_file
from deploy.local.supervisor import Part, Supervisor
from services.chassis.bus import declare
from services.chassis.migrations import migrate

ROOT = Path(__file__).parents[2]
SERVICES = (
    "journal",
    "vault",
    "projector",
    "query",
    "gateway",
    "node_monitor",
    "queue_sampler",
    "scheduler",
    "deployer",
    "alerter",
    "console",
)
UNCONNECTED = frozenset({"console"})  # neither broker nor database: all of it is the gateway's
KEY_BYTES = 32
API = "/api/v1"
WATCH_S = 1.0
ENGINE_MISSED = 3  # looks; whoever restarts an engine by hand gets the chance to
READY_WITHIN_S = 60.0
READY_PAUSE_S = 0.1


@dataclass(frozen=True)
class Node:
    """An agent on this machine."""

    name: str
    url: str
    gpus: int


@dataclass(frozen=True)
class Plan:
    """What shall run: agents by name with their number of virtual GPUs, and settings for all."""

    state: Path
    agents: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


class Platform:
    """Everything that one plan starts, and nothing else."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.state = make_state(plan.state)
        self.supervisor = Supervisor(self.state, say)
        self._plan, self._say = plan, say
        self._watching: asyncio.Task[None] | None = None
        self._given = {**_dotenv(), **os.environ, **plan.settings}
        self._ports = _ports(self.state, plan) | self._wanted_ports()
        self.agent_token = _kept(self.state / "agent.token", lambda: secrets.token_urlsafe(32))
        self.api_token = _kept(self.state / "api.token", lambda: secrets.token_urlsafe(32))
        self.console_key = self._given.get("QM_CONSOLE_KEY") or _kept(
            self.state / "console.key", lambda: secrets.token_urlsafe(32)
        )
        _kept(self.state / "vault.key", _vault_key)

    @property
    def api(self) -> str:
        """Where the gateway's API begins."""
        return self._given.get("API_V1_STR") or API

    @property
    def gateway_url(self) -> str:
        """Where people and programs come in."""
        return f"http://{ports.LOOPBACK}:{self._ports['gateway']}"

    @property
    def console_url(self) -> str:
        """Where people look at it."""
        return f"http://{ports.LOOPBACK}:{self._ports['console']}"

    @property
    def query_url(self) -> str:
        """Where the read models are asked."""
        return f"http://{ports.LOOPBACK}:{self._ports['query']}"

    @property
    def nodes(self) -> list[Node]:
        """The agents, in the plan's order."""
        return [
            Node(name, f"http://{ports.LOOPBACK}:{self._ports[name]}", gpus)
            for name, gpus in self._plan.agents.items()
        ]

    async def start(self) -> Engines:
        """Start engines, schema and topology, then every process; return the engines."""
        await clear(self.state, self._say)
        self.supervisor.start(self._agent(node) for node in self.nodes)
        running = await asyncio.to_thread(engines.start, self.state)
        await asyncio.gather(
            migrate(running.owner_url()), declare(running.urls("journal")[AMQP_URL])
        )
        self.supervisor.start(self._service(name, running) for name in SERVICES)
        self._watching = asyncio.create_task(self._watch())
        return running

    async def ready(self) -> None:
        """Return once every process says that it is well; raises EngineError naming the others."""
        waiting = {*SERVICES, *self._plan.agents}
        async with httpx2.AsyncClient(timeout=2.0, trust_env=False) as client:
            try:
                async with asyncio.timeout(READY_WITHIN_S):
                    while waiting:
                        waiting -= {name for name in waiting if await self._is_well(client, name)}
                        await asyncio.sleep(READY_PAUSE_S)
            except TimeoutError:
                logs = ", ".join(str(self.supervisor.log_of(name)) for name in sorted(waiting))
                raise EngineError(
                    f"not ready after {READY_WITHIN_S:.0f} s: {', '.join(sorted(waiting))};"
                    f" see {logs}"
                ) from None

    async def stop(self, *, engines_too: bool = True) -> None:
        """Stop everything that start() started."""
        if self._watching:
            self._watching.cancel()
        await self.supervisor.stop()
        await end_workers(self.state)
        if engines_too:
            await asyncio.to_thread(engines.stop, self.state, immediately=True)

    async def _is_well(self, client: httpx2.AsyncClient, name: str) -> bool:
        """Tell whether a process says that it is well and, where it has a door, opens it."""
        url = f"http://{ports.LOOPBACK}:{self._ports[f'{name}.health']}/"
        try:
            well = (await client.get(url)).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False
        return well and (name not in self._ports or ports.answers(self._ports[name]))

    async def _watch(self) -> None:
        """Start an engine again that has been gone for a while."""
        missed = 0
        while True:
            await asyncio.sleep(WATCH_S)
            missed = 0 if await asyncio.to_thread(_engines_run, self.state) else missed + 1
            if missed >= ENGINE_MISSED:
                self._say("an engine is gone and is started again")
                try:
                    await asyncio.to_thread(engines.start, self.state)
                except EngineError as error:
                    self._say(str(error))

    def _wanted_ports(self) -> dict[str, int]:
        """Return the ports that the person chose."""
        port = self._given.get("QM_CONSOLE_PORT", "")
        if port and not port.isdecimal():
            raise EngineError(f"QM_CONSOLE_PORT is no port: {port}")
        return {"console": int(port)} if port else {}

    def _service(self, name: str, running: Engines) -> Part:
        own = {
            "journal": {"QM_BACKUP_DIR": str(self.state / "backups")},
            "vault": {"QM_VAULT_KEY_FILE": str(self.state / "vault.key")},
            "gateway": {
                "QM_HTTP_PORT": str(self._ports["gateway"]),
                "QM_API_TOKEN": self.api_token,
                "QM_KEYS_DIR": str(self.state / "gateway"),
                # The console comes from this machine, and says for whom.
                "QM_TRUSTED_PROXIES": f"{ports.LOOPBACK}/32",
            },
            "query": {"QM_HTTP_PORT": str(self._ports["query"])},
            "console": {
                "QM_CONSOLE_PORT": str(self._ports["console"]),
                "QM_CONSOLE_KEY": self.console_key,
                "QM_GATEWAY_URL": self.gateway_url,
            },
        }
        connected = {} if name in UNCONNECTED else running.urls(name)
        environment = self._environment(name) | connected | own.get(name, {})
        return Part(name, ("-m", "services", name), environment)

    def _agent(self, node: Node) -> Part:
        own = {
            "QM_NODE_ID": node.name,
            "QM_BOOT_ID": f"boot-{node.name}",
            "QM_VIRTUAL_GPUS": str(node.gpus),
            "QM_AGENT_STATE": str(self.state / "agents" / node.name),
            "QM_AGENT_PORT": str(self._ports[node.name]),
        }
        return Part(node.name, ("-m", "services", "agent"), self._environment(node.name) | own)

    def _environment(self, name: str) -> dict[str, str]:
        """Return what every process is told: the person's own settings, then the plan's."""
        of_engines = {AMQP_URL, DATABASE_URL, "DATABASE_URL"} - self._plan.settings.keys()
        return {
            **{key: value for key, value in self._given.items() if key not in of_engines},
            "PYTHONPATH": str(ROOT),
            "QM_HEALTH_PORT": str(self._ports[f"{name}.health"]),
            "QM_AGENT_TOKEN": self.agent_token,
            "QM_QUERY_URL": self.query_url,
        }


async def end_workers(state: Path) -> None:
    """End the workers that agents of this state started, whoever is their parent by now."""
    await supervisor.end(await asyncio.to_thread(_workers, state), 1.0)


async def clear(state: Path, say: Callable[[str], None]) -> None:
    """End what a killed run of this state left behind, engines excepted."""
    if left := await supervisor.clear_leftovers(state):
        say(f"ended what an earlier run left behind: {', '.join(left)}")
    await end_workers(state)


def wipe(state: Path, say: Callable[[str], None]) -> None:
    """End everything that runs in a state and remove it with all it kept elsewhere."""
    if not state.exists():
        return
    asyncio.run(clear(state, say))
    engines.stop(state, immediately=True)
    for place in (Cluster(state).home, private_place(state), state):
        shutil.rmtree(place, ignore_errors=True)


def _workers(state: Path) -> list[psutil.Process]:
    """Return the processes whose environment says that an agent of this state started them."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # gone, or another user's
        ready_file = environment.get("QM_READY_FILE", "")
        if "QM_INSTANCE_ID" in environment and Path(ready_file).is_relative_to(state):
            found.append(process)
    return found


def _engines_run(state: Path) -> bool:
    local = engines.attach(state).given
    rabbit = AMQP_URL in local or engines.rabbitmq(state).is_running()
    return rabbit and (DATABASE_URL in local or engines.postgres(state).is_running())


def _ports(state: Path, plan: Plan) -> dict[str, int]:
    names = ["gateway", "query", "console", *plan.agents]
    health = [f"{name}.health" for name in (*SERVICES, *plan.agents)]
    return ports.keep_or_choose(state / "ports.json", [*names, *health])


def _kept(file: Path, make: Callable[[], str]) -> str:
    """Return a secret that was made at the first start, readable by us alone."""
    if not file.exists():
        replace_file(file, make())
    return file.read_text()


def _vault_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _dotenv() -> dict[str, str]:
    return {key: value for key, value in dotenv_values(ROOT / ".env").items() if value is not None}
