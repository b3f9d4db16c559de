"""The ground a fault happens on: a running fleet under load, and how it is asked if all is well."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx2

from deploy.demo import checks
from tests.e2e.fleet import eventually, one_at_a_time, retried
from tests.faults.tools import Tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from deploy.local.engines import Engines
    from deploy.local.platform import Node, Platform

REQUESTS, OVER_S = 16, 2.0
BEFORE = 4  # served when the fault comes
SERVED_WITHIN_S = 60.0
BACK_WITHIN_S = 30.0  # the promise: control is back in 30 s
SETTLED_WITHIN_S = 20.0
REFUSED_WITHIN_S = 60.0
READ_EVERY_S = 0.5
ANSWERED_WITHIN_S = 35.0  # a command is repeated for half a minute before it is given back
LIVING = frozenset({"starting", "ready", "stopping"})


@dataclass
class Trial:
    """One fault lived through: what it may cost, and how long control was away after its end.

    restless: parts that may be restarted though nobody killed them.
    """

    name: str
    back_within_s: float
    restless: set[str] = field(default_factory=set)
    recovery_s: float = 0.0


class Ground(Tools):
    """A fleet that a fault is lived through on."""

    def __init__(self, platform: Platform, engines: Engines) -> None:
        super().__init__(platform, engines)
        self.trials: list[Trial] = []
        self._number = 0

    @asynccontextmanager
    async def trial(
        self,
        what: str,
        *,
        back_within_s: float = BACK_WITHIN_S,
        restless: Sequence[str] = (),
        kill_worker: bool = True,
    ) -> AsyncIterator[Trial]:
        """Break something in the block, in the middle of a batch and of a command, and mend it.

        After the block, and within seconds, that command is recorded and read, another two as
        well, and a worker that dies then is replaced; at the end all requests were served, and
        nothing is wrong with the log, the GPUs, the read models and the processes.
        """
        self._number += 1
        trial = Trial(f"{self._number}.{what}", back_within_s, set(restless))
        killed, restarts = Counter(self.killed), Counter(self.platform.supervisor.restarts)
        await self.forgive(trial.name)
        load = asyncio.create_task(self.serve(trial.name, REQUESTS, OVER_S))
        await eventually(lambda: len(self.served(trial.name)) >= BEFORE, SERVED_WITHIN_S)
        in_flight = asyncio.create_task(self.command(f"{trial.name}.in-flight"))
        try:
            await asyncio.sleep(0.01)
            yield trial
            begun = time.monotonic()
            await self._is_back(trial, in_flight, kill_worker=kill_worker)
            trial.recovery_s = time.monotonic() - begun
            self.trials.append(trial)
            async with asyncio.timeout(SERVED_WITHIN_S):
                await load
            await eventually(lambda: len(self.served(trial.name)) == REQUESTS, SERVED_WITHIN_S)
        finally:
            for task in (load, in_flight):
                task.cancel()
        await self.nothing_is_wrong()
        self._nobody_else_ended(trial, restarts, killed)

    async def _is_back(
        self, trial: Trial, in_flight: asyncio.Task[None], *, kill_worker: bool
    ) -> None:
        within = trial.back_within_s
        dead = await self.kill_worker("node-1") if kill_worker else None
        try:
            async with asyncio.timeout(within):
                await in_flight
                await self.command(f"{trial.name}.after")
                await self.command(f"{trial.name}.again")  # needs a gateway that follows the log
                if dead is None:
                    await eventually(self.all_serve, within)
                else:
                    await eventually(lambda: self.is_replaced(dead), within)
        except TimeoutError:
            raise AssertionError(f"control was not back within {within:g} s") from None

    def _nobody_else_ended(
        self, trial: Trial, restarts: Counter[str], killed: Counter[str]
    ) -> None:
        now = self.platform.supervisor.restarts
        for part in {*now, *self.killed} - trial.restless:
            ended, meant = now[part] - restarts[part], self.killed[part] - killed[part]
            assert ended == meant, f"{part} ended {ended} times and was killed {meant} times"

    async def nothing_is_wrong(self) -> None:
        """The log is whole, a GPU had one holder at a time, agents agree, nothing is parked."""
        verified = (await retried(lambda: self.api("POST", "/log/verify")))["data"]
        assert verified["ok"], f"the log does not verify: {verified}"
        held = await self.events("gpu.allocated", "gpu.freed")
        assert one_at_a_time(held), "a GPU was allocated twice"
        assert self.shared_gpus == set(), f"two process trees lived on {self.shared_gpus}"
        await eventually(self.agents_agree, SETTLED_WITHIN_S)
        ended = [row for row in await self.instances() if row["state"] not in LIVING]
        assert self.done_twice({row["instance_id"] for row in ended}) == [], "work was done twice"
        await eventually(self._nothing_is_parked, SETTLED_WITHIN_S)

    async def _nothing_is_parked(self) -> bool:
        return await checks.parked(self.engines) == 0

    async def agents_agree(self) -> bool:
        """Tell whether what lives on the nodes is what the log says, GPU by GPU."""
        said = {
            (row["instance_id"], row["gpu_uuid"])
            for row in await self.instances()
            if row["state"] in LIVING
        }
        return said == await self.agents_truth()

    async def agents_truth(self) -> set[tuple[str, str]]:
        """Return what the agents say lives, by instance and GPU; no GPU may be there twice."""
        living = set()
        for node in self.platform.nodes:
            status = await self.agent("GET", node, "/status")
            living |= {
                (each["instance_id"], each["gpu_uuid"])
                for each in status["instances"]
                if each["state"] in LIVING
            }
        gpus = [gpu for _, gpu in living]
        assert len(gpus) == len(set(gpus)), f"a GPU has two live instances: {living}"
        return living

    async def agent(self, method: str, node: Node, path: str) -> dict[str, Any]:
        """Ask an agent itself, past its line."""
        headers = {"Authorization": f"Bearer {self.platform.agent_token}"}
        async with httpx2.AsyncClient(timeout=5.0, trust_env=False, headers=headers) as client:
            answer = await client.request(method, node.url + path)
            answer.raise_for_status()
            return dict(answer.json())

    async def read_models_are_the_log(self) -> None:
        """Fold the whole log again beside the live read models, and compare byte for byte."""
        asked = await retried(lambda: self.api("POST", "/rebuilds", json={"only_compare": True}))
        path = f"/rebuilds/{asked['data']['rebuild_id']}"
        done: dict[str, Any] = {}

        async def is_over() -> bool:
            done.update((await self.api("GET", path))["data"])
            return done.get("state") in {"done", "failed"}

        await eventually(is_over, BACK_WITHIN_S)
        assert done["state"] == "done", f"the read models could not be compared: {done}"
        assert not done["differences"], f"read models differ from the log: {done['differences']}"

    # What goes on meanwhile, or does not.

    async def is_refused(self) -> None:
        """Send commands until one is refused as what may be sent again; it does not take long."""
        until = time.monotonic() + REFUSED_WITHIN_S
        path = f"/models/{self.models['writer']}"
        for number in count():
            begun = time.monotonic()
            body = {"description": f"refused {self._number}.{number}"}
            answer = await self.http.patch(path, json=body, timeout=REFUSED_WITHIN_S)
            if answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
                took = time.monotonic() - begun
                assert took < ANSWERED_WITHIN_S, f"it took {took:.0f} s to refuse a command"
                return
            assert answer.is_success, answer.text
            assert time.monotonic() < until, "commands are taken all the same"

    async def reads_go_on(self, for_s: float) -> None:
        """Read all the time for so long; every read is answered."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            await self.query.one("/status")
            await asyncio.sleep(READ_EVERY_S)
