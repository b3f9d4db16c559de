"""The gateway in this process over ASGI; journal and vault in memory, a fake query service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from services.chassis.clock import LogClock
from services.chassis.errors import Conflict, Refused
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.problems import encode
from services.gateway.adapters.client import Answered
from services.gateway.adapters.query import QueryService
from services.gateway.decide import keeping
from services.gateway.decide.asking import Answer, Asked, Claim, Stored
from services.gateway.service import wire
from services.gateway.settings import Settings
from services.gateway.state import State
from services.vault.adapters.cipher import AesGcm
from services.vault.handlers import Vault, answer_questions
from tests.in_memory import World, a_world, ended
from tests.memory_accounts import memory_own
from tests.memory_secrets import MemorySecrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from fastapi import FastAPI

    from services.gateway.handlers.commands import Commands
    from services.gateway.handlers.entry_ports import Own

TOKEN = "a-token-of-many-letters"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@dataclass
class MemoryKeys:
    """Idempotency keys as the table keeps them: JSON in, JSON out."""

    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    async def claim(self, asked: Asked) -> Claim:
        place = (asked.actor, asked.key or "")
        row = self.rows.get(place)
        if row is None:
            row = self.rows[place] = {"fingerprint": asked.fingerprint, "held": False}
        if row["fingerprint"] != asked.fingerprint:
            raise Refused("another request", field="Idempotency-Key")
        if "answer" in row:
            status, data, position = row["answer"]
            return Claim(asked, "t", answered=Answer(status, orjson.loads(data), position, True))
        if row["held"]:
            raise Conflict("in flight", field="Idempotency-Key")
        row["held"] = True
        stored = row.get("stored")
        if stored is None:
            return Claim(asked, "t")
        decision = keeping.from_json(orjson.loads(stored[1]))
        return Claim(asked, "t", stored=Stored(stored[0], decision))

    async def keep(self, claim: Claim, stored: Stored) -> None:
        kept = orjson.dumps(keeping.as_json(stored.decision))
        self._row(claim)["stored"] = (stored.event_ids, kept)

    async def finish(self, claim: Claim, answer: Answer) -> None:
        data = encode(dict(answer.data))
        self._row(claim)["answer"] = (answer.status, data, answer.position)

    async def let_go(self, claim: Claim) -> None:
        self._row(claim)["held"] = False

    async def forget(self, claim: Claim) -> None:
        del self.rows[claim.asked.actor, claim.asked.key or ""]

    def _row(self, claim: Claim) -> dict[str, Any]:
        return self.rows[claim.asked.actor, claim.asked.key or ""]


@dataclass
class FakeQuery:
    """Answers what it was told to, and remembers what it was asked."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    is_up: bool = True

    async def get(self, target: str, headers: Mapping[str, str]) -> Answered:
        if not self.is_up:
            raise ConnectionRefusedError("refused")
        request = httpx2.Request("GET", f"http://query{target}", headers=headers)
        self.asked.append(request)
        answer = self._answer(request)
        names = {name.lower(): value for name, value in answer.headers.raw}
        return Answered(answer.status_code, names, answer.content)

    async def close(self) -> None:
        self.is_up = False

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        status, content = self.answers.get(request.url.path, (404, {"detail": "not there"}))
        headers = {"etag": '"7-abc"', "qm-position": "7"} | self.headers
        if request.headers.get("if-none-match") == '"7-abc"':
            return httpx2.Response(304, headers=headers)
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        return httpx2.Response(status, content=body, headers=headers)


@dataclass
class Door:
    """The gateway and all that is around it."""

    world: World
    app: FastAPI
    client: httpx2.AsyncClient
    state: State
    folding: Folding
    own: Own
    query: FakeQuery
    secrets: MemorySecrets

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        return await self.client.post(f"/api/v1{path}", json=body, headers=headers)

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        """Make something and return its data; the test fails when it is refused."""
        response = await self.post(path, body)
        assert response.status_code in {200, 201, 202}, response.text
        return response.json()["data"]

    async def an_environment(self, name: str = "production") -> str:
        return (await self.made("/environments", {"name": name}))["id"]

    async def a_model(self, environment_id: str, **changes: Any) -> dict[str, Any]:
        return await self.made("/models", a_model(environment_id, **changes))

    async def a_node(self, environment_id: str, **changes: Any) -> dict[str, Any]:
        return await self.made("/nodes", a_node(environment_id, **changes))

    @property
    def keys(self) -> MemoryKeys:
        """Where this gateway keeps idempotency keys."""
        keys: Any = self.own.keys
        return keys

    @property
    def commands(self) -> Commands:
        """What carries out this gateway's commands."""
        commands: Commands = self.app.state.doors.commands
        return commands

    def types(self) -> list[str]:
        """Return the types of all recorded events, in order."""
        return [row["type"] for row in self.world.log._rows]


def a_model(environment_id: str, **changes: Any) -> dict[str, Any]:
    """Return a model as the first platform's clients send it."""
    body = {
        "name": "llama",
        "environment_id": environment_id,
        "rabbitmq_host": "10.0.0.5",
        "rabbitmq_port": 15672,
        "rabbitmq_vhost": "/",
        "rabbitmq_queue_name": "llama-requests",
        "rabbitmq_username": "reader",
        "average_inference_time": 1.5,
    }
    return {**body, **changes}


def a_node(environment_id: str, **changes: Any) -> dict[str, Any]:
    body = {
        "name": "gpu-01",
        "environment_id": environment_id,
        "agent_url": "http://10.0.0.7:8090",
        "available_gpu_ids": [0, 1],
    }
    return {**body, **changes}


def settings(**changes: Any) -> Settings:
    given = {
        "amqp_url": "amqp://h/",
        "QM_DATABASE_URL": "postgresql://h/d",
        "api_token": TOKEN,
        "CORS_ORIGINS": "http://localhost:3000",
    }
    return Settings(_env_file=None, **{**given, **changes})


@asynccontextmanager
async def a_door(own: Own | None = None, **changes: Any) -> AsyncIterator[Door]:
    """A gateway; `own`: what it keeps beside the log, in memory unless said otherwise."""
    async with a_world() as world:
        vault_bus, secrets = world.broker.bus("vault"), MemorySecrets()
        vault = Vault(secrets, AesGcm(bytes(range(32))))
        answering = asyncio.create_task(answer_questions(vault_bus, vault, world.clock.sleep))
        kept = own or memory_own(TOKEN, MemoryKeys())
        async with _a_gateway(world, kept, secrets, **changes) as door:
            yield door
        await ended(answering)
        await vault_bus.close()


@asynccontextmanager
async def a_door_beside(door: Door, **changes: Any) -> AsyncIterator[Door]:
    """Another gateway process before the same log, keys and vault."""
    async with _a_gateway(door.world, door.own, door.secrets, **changes) as other:
        yield other


@asynccontextmanager
async def _a_gateway(
    world: World, own: Own, secrets: MemorySecrets, **changes: Any
) -> AsyncIterator[Door]:
    bus, state, query = world.broker.bus("gateway"), State(), FakeQuery()
    follower = Follower(bus, "gateway", State.TYPES, world.clock)
    folding = Folding(follower, state.apply, LogClock(world.clock), service="gateway")
    reads = QueryService("http://query", server=query)
    context = world.context("gateway")
    app = wire(context, settings(**changes), bus, folding, state, own, reads)
    transport = httpx2.ASGITransport(app)
    running = asyncio.create_task(folding.run())
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://gateway", headers=BEARER
    ) as client:
        yield Door(world, app, client, state, folding, own, query, secrets)
    await ended(running)
    await reads.close()
    await bus.close()
