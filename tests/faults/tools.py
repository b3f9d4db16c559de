"""A fleet to break: its engines, its lines and its processes at hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx2
import psutil
import psycopg

from deploy.local import engines
from deploy.local.access import DATABASE
from deploy.local.platform import ROOT, Node, Platform
from tests.e2e.fleet import Fleet, retried
from tests.faults.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from deploy.local.engines import Engines
    from deploy.local.postgres import Postgres
    from deploy.local.rabbitmq import RabbitMQ


class Tools(Fleet):
    """A fleet whose agents are reached through proxies, and whose every part can be spoiled."""

    def __init__(self, platform: Platform, engines_: Engines) -> None:
        super().__init__(platform, engines_)
        self.lines: dict[str, FaultProxy] = {}

    async def create(self) -> None:
        """Put a proxy in front of every agent, and make everything."""
        made = []
        for node in self.platform.nodes:
            line = await FaultProxy(int(node.url.rsplit(":", 1)[1])).start()
            self.lines[node.name] = line
            made.append(Node(node.name, f"http://127.0.0.1:{line.port}", node.gpus))
        self.nodes = made
        await super().create()

    async def close(self) -> None:
        """Close what is ours."""
        for line in self.lines.values():
            await line.close()
        await super().close()

    @property
    def broker(self) -> RabbitMQ:
        """The broker."""
        return engines.rabbitmq(self.state)

    @property
    def database(self) -> Postgres:
        """The database server."""
        return engines.postgres(self.state)

    async def restart_engines(self) -> None:
        """Start the engines that do not run."""
        await asyncio.to_thread(engines.start, self.state)

    async def sql(self, statements: str) -> str:
        """Run SQL as the superuser in our database."""
        return await asyncio.to_thread(self.database.query, statements, DATABASE)

    async def rabbitmqctl(self, *words: str) -> None:
        """Have the broker's own tool do something."""
        program, arguments, environment = self.broker.control(*words)
        process = await asyncio.create_subprocess_exec(
            program, *arguments, env=environment, stdout=PIPE, stderr=STDOUT
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"rabbitmqctl {words[0]}: {said.decode()}"

    async def management(self, method: str, path: str) -> httpx2.Response:
        """Ask the broker's management API as its administrator."""
        admin = (self.engines.admin_user, self.engines.admin_password)
        async with httpx2.AsyncClient(auth=admin, timeout=10.0, trust_env=False) as client:
            return await client.request(method, f"{self.engines.management_url}/api{path}")

    async def cut_connections(self) -> None:
        """Have the broker and the database close every connection there is."""
        listed = (await self.management("GET", "/connections?columns=name")).json()
        for each in listed:
            await self.management("DELETE", f"/connections/{quote(each['name'], safe='')}")
        await self.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename like 'qm_%'"
        )

    @asynccontextmanager
    async def session(self, role: str = "") -> AsyncIterator[psycopg.AsyncConnection]:
        """Open a transaction as superuser, or as a role, in our database; undo it at the end."""
        dsn = self.engines.superuser_dsn.rsplit("/", 1)[0] + f"/{DATABASE}"
        if role:
            dsn = self.engines.urls(role)["QM_DATABASE_URL"]
        connection = await psycopg.AsyncConnection.connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def backend(self, role: str) -> int:
        """Return the process id of a database session of a role."""
        asked = f"select pid from pg_stat_activity where usename = '{role}' order by pid limit 1"
        return int(await self.sql(asked))

    async def node_id(self, name: str) -> str:
        """Return a node's id by its name."""
        listed = await retried(lambda: self.api("GET", "/nodes?limit=50"))
        return str(next(each["id"] for each in listed["data"]["items"] if each["name"] == name))

    # Processes.

    def process(self, part: str) -> psutil.Process:
        """Return a part's present process."""
        pid = self.platform.supervisor.pid_of(part)
        assert pid is not None, f"{part} does not run"
        return psutil.Process(pid)

    async def killed_and_back(self, part: str) -> None:
        """Kill a part, and return once it has a new process."""
        await self.runs_again(part, self.kill(part))

    @asynccontextmanager
    async def frozen(self, *processes: psutil.Process) -> AsyncIterator[None]:
        """Stop processes with SIGSTOP for the length of a block."""
        try:
            for process in processes:
                process.suspend()
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    @asynccontextmanager
    async def another(self, service: str, **environment: str) -> AsyncIterator[str]:
        """Run one more process of a service for the length of a block; yield its part's name."""
        name = f"{service}-2"
        part = self.platform._service(service, self.engines)
        told = {key: value for key, value in part.environment.items() if key != "QM_HEALTH_PORT"}
        supervisor = self.platform.supervisor
        supervisor.start([replace(part, name=name, environment=told | environment)])
        try:
            yield name
        finally:
            await supervisor.drop(name)

    def shim(self, name: str, code: str) -> dict[str, str]:
        """Return the environment of a process that runs this before anything else of its own."""
        folder = self.state / name
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(code)
        return {"PYTHONPATH": f"{folder}:{ROOT}"}

    async def begin_anew(self, part: str, environment: Mapping[str, str]) -> None:
        """Kill a part and start it again with other settings."""
        node = next((each for each in self.platform.nodes if each.name == part), None)
        made = (
            self.platform._service(part, self.engines)
            if node is None
            else self.platform._agent(node)
        )
        await self.platform.supervisor.drop(part)
        told = dict(made.environment) | dict(environment)
        self.platform.supervisor.start([replace(made, environment=told)])
