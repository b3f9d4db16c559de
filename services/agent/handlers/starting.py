"""Start a worker whose start was accepted."""

from __future__ import annotations

import asyncio
import hashlib

from contracts.http.agent import StartCommand
from contracts.types import Scalar
from services.agent.decide.commands import Begin
from services.agent.decide.launch import HttpReady, LineReady, arguments
from services.agent.handlers.care import Care
from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Outside, Terms
from services.agent.state import Instance, Readiness, Worker
from services.chassis import tracing
from services.chassis.errors import Unavailable


class Starting:
    """Holds the GPU first, on disk, then starts the process: never the other way round."""

    def __init__(self, memory: Memory, care: Care, outside: Outside, terms: Terms) -> None:
        self._memory, self._care, self._outside, self._terms = memory, care, outside, terms

    def reserve(self, command: StartCommand, accepted: Begin) -> tuple[str, ...]:
        """Hold the GPU in memory, at once; return the worker's argument list."""
        values = {**accepted.values, **self._given(command, accepted)}
        argv = arguments(accepted.template, values)
        self._memory.state.begin(self._instance(command, accepted, values, argv))
        return argv

    async def begin(self, command: StartCommand, argv: tuple[str, ...]) -> None:
        """Return when the worker runs, or has failed to; Unavailable when nothing was done."""
        told: tracing.Attributes = {
            "quartermaster.instance.id": command.instance_id,
            "quartermaster.model.name": command.model_name,
            "hw.id": command.gpu_uuid,
            "quartermaster.epoch": command.fence.epoch,
        }
        with tracing.span("start worker", told):
            await self._begin(command, argv)

    async def _begin(self, command: StartCommand, argv: tuple[str, ...]) -> None:
        await self._keep(command.instance_id)
        try:
            worker = await asyncio.to_thread(self._spawn, command, argv)
        except OSError as error:
            sentence = f"{error.strerror}: {error.filename}"
            facts = {"error_code": "cannot_start", "error": sentence[:1000]}
            await self._care.settle(command.instance_id, None, **facts)
            return
        pid, born = worker.pid, worker.born
        running = self._memory.state.note(command.instance_id, pid=pid, born=born)
        await self._memory.commit_surely()
        self._care.look_after(running)

    def _spawn(self, command: StartCommand, argv: tuple[str, ...]) -> Worker:
        folders, gpu = self._outside.folders, self._memory.state.gpus[command.gpu_uuid]
        secrets = folders.prepare(command.instance_id, command.secret_files)
        environment = {
            **self._terms.environment,
            **secrets,
            "QM_MODEL": command.model_name,
            "CUDA_VISIBLE_DEVICES": self._outside.gpus.visible(gpu),
        }
        log = folders.log(command.instance_id)
        return self._outside.processes.spawn(command.instance_id, argv, environment, log)

    async def _keep(self, instance_id: str) -> None:
        try:
            await self._memory.commit()
        except Unavailable:
            self._memory.state.withdraw(instance_id)
            raise

    def _given(self, command: StartCommand, accepted: Begin) -> dict[str, Scalar]:
        """Return what the agent itself fills in."""
        terms, gpu = self._terms, self._memory.state.gpus[command.gpu_uuid]
        given: dict[str, Scalar] = {
            "host": terms.worker_host,
            "model": command.model_name,
            "gpu_index": gpu.index,
            "gpu_uuid": gpu.uuid,
            "instance_id": command.instance_id,
            "ready_file": str(self._outside.folders.ready_file(command.instance_id)),
            "python": terms.python,
        }
        if accepted.template.wants_port:
            live = (i for i in self._memory.state.instances.values() if i.live)
            taken = {i.port for i in live if i.port is not None}
            given["port"] = self._outside.free_port(terms.worker_host, taken)
        return given

    def _instance(
        self,
        command: StartCommand,
        accepted: Begin,
        values: dict[str, Scalar],
        argv: tuple[str, ...],
    ) -> Instance:
        template, ready = accepted.template, accepted.template.ready
        port = values[ready.port_parameter] if isinstance(ready, HttpReady) else None
        return Instance(
            instance_id=command.instance_id,
            model_name=command.model_name,
            gpu_uuid=command.gpu_uuid,
            boot_id=command.boot_id,
            fence=command.fence,
            on_lost_control=command.on_lost_control,
            template=template.name,
            readiness=self._readiness(ready, command.model_name, port),
            ready_timeout_s=template.ready_timeout_s,
            stop_grace_s=template.stop_grace_s,
            asked_at=self._outside.clock.now(),
            command_hash=hashlib.sha256("\x00".join(argv).encode()).hexdigest(),
            port=port,
            endpoint=None if port is None else _url(self._terms.advertise_host, port),
        )

    def _readiness(self, ready: object, model: str, port: Scalar) -> Readiness:
        if isinstance(ready, HttpReady):
            url = _url(_reachable(self._terms.worker_host), port) + ready.path
            return Readiness(kind="http", url=url, model=model if ready.model_listed else "")
        if isinstance(ready, LineReady):
            return Readiness(kind="line", text=ready.text)
        return Readiness(kind="file")


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (what was bound)


def _url(host: str, port: Scalar) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
