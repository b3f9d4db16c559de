"""What happens as time passes: logs are bounded, and a lost control plane is noticed."""

from __future__ import annotations

import asyncio

from services.agent.handlers.care import Care
from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Outside
from services.agent.state import Instance

EVERY_S = 1.0
KEEP_CONTACT_S = 5.0


class Upkeep:
    """Runs for ever beside the routes."""

    def __init__(self, memory: Memory, care: Care, outside: Outside, lease_s: float) -> None:
        self._memory, self._care, self._outside, self._lease_s = memory, care, outside, lease_s
        self._kept_at = outside.clock.monotonic()

    async def run(self) -> None:
        """Look around every second."""
        while True:
            await self._outside.clock.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Bound the logs; stop what must not outlive the control plane's silence."""
        await self._bound_logs()
        if not self._memory.is_kept:
            await self._memory.try_commit()
        if not await self._stop_the_abandoned():
            await self._keep_contact()

    async def _bound_logs(self) -> None:
        problem = ""
        for instance in list(self._memory.state.instances.values()):
            try:
                if instance.live:
                    await asyncio.to_thread(self._outside.logs.rotate, instance.instance_id)
            except OSError as error:
                problem = f"the log of {instance.instance_id} cannot be bounded: {error}"
        self._memory.health.report("logs", not problem, problem)

    async def _stop_the_abandoned(self) -> bool:
        silent_s = self._memory.silent_s()
        if silent_s <= self._lease_s:
            return False
        ended = [i for i in self._leased() if i.state != "stopping"]
        for instance in ended:
            self._memory.state.move(
                instance.instance_id,
                "stopping",
                error_code="lease_ended",
                error=f"the control plane was silent for {silent_s:.1f} s",
            )
        for instance in ended:
            self._care.end(instance.instance_id, instance.stop_grace_s)
        if ended:
            await self._memory.commit_surely()  # last: a full disk keeps no worker alive
        return bool(ended)

    def _leased(self) -> list[Instance]:
        live = (i for i in self._memory.state.instances.values() if i.live)
        return [i for i in live if i.on_lost_control == "stop"]

    async def _keep_contact(self) -> None:
        """Keep when control last spoke: a restart of ours must not lengthen the lease."""
        now = self._outside.clock.monotonic()
        if self._leased() and now - self._kept_at >= KEEP_CONTACT_S:
            self._kept_at = now
            await self._memory.commit_surely()
