"""A node's agent in this process, over real loopback HTTP: obedient, silent, mad or forgetful."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

DEAD = ("exited", "failed")
MAD = {
    "garbage": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\x00\xff{][}\x01\x02\x03",
    "refuse": b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n",
    "huge": b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n",
    "trickle": b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
}


@dataclass
class FakeAgent:
    """Obeys contracts/http/agent.py; `mode` and `lost` say how it fails.

    mode: ok, silent (takes the question, never answers), garbage, huge, trickle, refuse (500).
    lost: answers to lose after the effect, by what was asked ("start", "stop", "kill", "look").
    """

    node_id: str = "node-1"
    boot_id: str = "boot-1"
    gpus: list[dict[str, Any]] = field(default_factory=lambda: [gpu(0), gpu(1)])
    models: list[str] = field(default_factory=lambda: ["*"])
    mode: str = "ok"
    auto_ready: bool = True
    token: str | None = None
    tls: ssl.SSLContext | None = None
    lost: Counter[str] = field(default_factory=Counter)
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    fences: dict[str, tuple[int, int]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    killed: list[int] = field(default_factory=list)
    change: int = 1
    next_pid: int = 1000

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self, port: int = 0) -> None:
        self._moved = asyncio.Condition()
        self._open: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def close(self) -> None:
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    # What a test does to it

    async def touch(self) -> None:
        self.change += 1
        async with self._moved:
            self._moved.notify_all()

    async def move(self, instance_id: str, state: str, **facts: Any) -> None:
        self.instances[instance_id]["report"]["state"] = state
        for name in ("exit_code", "endpoint"):
            if name in facts:
                self.instances[instance_id]["report"][name] = facts.pop(name)
        self.instances[instance_id].update(facts)
        await self.touch()

    async def put(self, instance_id: str, state: str = "ready", gpu_uuid: str = "GPU-0") -> None:
        self.instances[instance_id] = self._new(instance_id, "llama", gpu_uuid)
        await self.move(instance_id, state)

    async def forget(self, instance_id: str) -> None:
        del self.instances[instance_id]
        await self.touch()

    async def reboot(self, boot_id: str) -> None:
        self.boot_id = boot_id
        self.instances.clear()
        self.fences.clear()
        await self.touch()

    def asked(self, what: str) -> int:
        return sum(1 for kind, _, _ in self.requests if kind == what)

    # HTTP

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        lines = (line.split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)
        headers = {name.lower(): value.strip() for name, value in lines}
        length = int(headers.get("content-length", "0"))
        body = json.loads(await reader.readexactly(length)) if length else None
        if await self._misbehave(writer):
            return False
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            what, status, answer = "denied", 401, problem("unauthorised")
        else:
            what, status, answer = await self._answer(method, target, body)
        self.requests.append((what, target, body))
        if self.lost[what] > 0:
            self.lost[what] -= 1
            return False
        payload = json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(payload)}\r\n\r\n".encode())
        writer.write(payload)
        await writer.drain()
        return True

    async def _misbehave(self, writer: asyncio.StreamWriter) -> bool:
        """Do what `mode` says; return whether that was all."""
        if self.mode == "silent":
            await asyncio.sleep(3600)
        elif self.mode in MAD:
            writer.write(MAD[self.mode])
        endless = {"huge": (b" " * 65536, 0.0), "trickle": (b" ", 0.1)}.get(self.mode)
        while endless is not None:
            writer.write(endless[0])
            await writer.drain()
            await asyncio.sleep(endless[1])
        await writer.drain()
        return self.mode != "ok"

    async def _answer(self, method: str, target: str, body: Any) -> tuple[str, int, Any]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match (method, *parts.path.strip("/").split("/")):
            case ("GET", "status"):
                await self._wait(query, lambda: self.change != int(query.get("since", -1)))
                return "status", 200, self._status()
            case ("GET", "instances", instance_id):
                passing = ("starting", "stopping")
                await self._wait(query, lambda: self._state(instance_id) not in passing)
                return "look", *self._known(instance_id)
            case ("POST", "instances"):
                return "start", *await self._start(body)
            case ("POST", "instances", instance_id, "stop"):
                return "stop", *await self._stop(instance_id)
            case ("POST", "processes", pid, "kill"):
                self.killed.append(int(pid))
                return "kill", 200, {"pid": int(pid), "found": True}
        return "unknown", 404, problem("not_found")

    async def _wait(self, query: dict[str, str], until: Any) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(float(query.get("wait_s", "0"))), self._moved:
                await self._moved.wait_for(until)

    def _status(self) -> dict[str, Any]:
        return {
            "node_id": self.node_id,
            "boot_id": self.boot_id,
            "change": self.change,
            "version": "1.0",
            "supported_models": self.models,
            "gpus": self.gpus,
            "instances": [each["report"] for each in self.instances.values()],
        }

    def _state(self, instance_id: str) -> str:
        known = self.instances.get(instance_id)
        return known["report"]["state"] if known else "unknown"

    def _known(self, instance_id: str) -> tuple[int, Any]:
        known = self.instances.get(instance_id)
        if known is None:
            return 404, problem("not_found")
        return 200, {**known, "instance": known["report"]}

    def _new(self, instance_id: str, model_name: str, gpu_uuid: str) -> dict[str, Any]:
        self.next_pid += 1
        report = {
            "instance_id": instance_id,
            "model_name": model_name,
            "gpu_uuid": gpu_uuid,
            "pid": self.next_pid,
            "state": "starting",
        }
        return {"report": report, "log_tail": "loading\n"}

    async def _start(self, body: Any) -> tuple[int, Any]:
        instance_id, gpu_uuid = body["instance_id"], body["gpu_uuid"]
        if instance_id in self.instances:
            return self._known(instance_id)
        refused = self._refusal(body)
        if refused is not None:
            return refused
        self.fences[gpu_uuid] = (body["fence"]["epoch"], body["fence"]["position"])
        self.instances[instance_id] = self._new(instance_id, body["model_name"], gpu_uuid)
        self.starts[instance_id] += 1
        if self.auto_ready:
            self.instances[instance_id]["report"]["state"] = "ready"
        await self.touch()
        return self._known(instance_id)

    def _refusal(self, body: Any) -> tuple[int, Any] | None:
        fence = (body["fence"]["epoch"], body["fence"]["position"])
        live = [each["report"] for each in self.instances.values()]
        held = [each for each in live if each["state"] not in DEAD]
        if body["boot_id"] != self.boot_id:
            return 409, problem("other_boot")
        if fence < self.fences.get(body["gpu_uuid"], (0, 0)):
            return 409, problem("fenced")
        if any(each["gpu_uuid"] == body["gpu_uuid"] for each in held):
            return 409, problem("held")
        if body["launch"]["template"] == "missing":
            return 422, problem("unknown_template")
        return None

    async def _stop(self, instance_id: str) -> tuple[int, Any]:
        if instance_id in self.instances and self._state(instance_id) not in DEAD:
            await self.move(instance_id, "exited", exit_code=0)
        return self._known(instance_id)


def gpu(index: int, foreign_pids: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "uuid": f"GPU-{index}",
        "index": index,
        "name": "Fake",
        "memory_mb": 1000,
        "foreign_pids": list(foreign_pids),
    }


def problem(code: str) -> dict[str, Any]:
    return {"type": f"/problems/{code}", "title": code, "detail": f"it is {code}", "code": code}
