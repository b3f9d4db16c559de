"""What every provider must do; a new one is done when it passes."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.http.agent import Fence, KillCommand, StartCommand, StopCommand
from contracts.types import Launch
from services.chassis.errors import Conflict, NotFound, Refused, Unavailable

DEAD = ("exited", "failed")


class ProviderSuite:
    """Needs fixtures `provider` and `place`, and `node` that tells about the place.

    node: a dict with gpu_uuid, boot_id, template, parameters, and `cut`, an async callable after
    which nothing answers.
    """

    def start(self, node: dict[str, Any], instance_id: str, **fields: Any) -> StartCommand:
        asked = {
            "instance_id": instance_id,
            "model_name": "llama",
            "gpu_uuid": node["gpu_uuid"],
            "boot_id": node["boot_id"],
            "launch": Launch(template=node["template"], parameters=node["parameters"]),
            "fence": Fence(epoch=1, position=10),
        }
        return StartCommand(**{**asked, **fields})

    def stop(self, position: int = 20) -> StopCommand:
        return StopCommand(fence=Fence(epoch=1, position=position), grace_s=1.0)

    async def ready(self, provider, place, instance_id):
        answer = await provider.await_ready(place, instance_id, 10.0)
        for _ in range(10):
            if answer.instance.state != "starting":
                break
            answer = await provider.await_ready(place, instance_id, 10.0)
        return answer

    async def ended(self, provider, place, instance_id, command):
        answer = await provider.stop(place, instance_id, command)
        for _ in range(10):
            if answer.instance.state in DEAD:
                break
            answer = await provider.await_ready(place, instance_id, 10.0)
        return answer

    async def test_an_instance_starts_becomes_ready_and_ends(self, provider, place, node):
        await provider.start(place, self.start(node, "i-1"))
        ready = await self.ready(provider, place, "i-1")
        assert (ready.instance.state, ready.instance.gpu_uuid) == ("ready", node["gpu_uuid"])
        assert ready.instance.pid > 0
        ended = await self.ended(provider, place, "i-1", self.stop())
        assert ended.instance.state in DEAD

    async def test_the_same_start_again_is_the_same_instance(self, provider, place, node):
        await provider.start(place, self.start(node, "i-1"))
        first = await self.ready(provider, place, "i-1")
        again = await provider.start(place, self.start(node, "i-1"))
        assert again.instance.pid == first.instance.pid

    async def test_the_same_stop_again_is_the_same_answer(self, provider, place, node):
        await provider.start(place, self.start(node, "i-1"))
        await self.ready(provider, place, "i-1")
        first = await self.ended(provider, place, "i-1", self.stop())
        again = await provider.stop(place, "i-1", self.stop())
        assert again.instance == first.instance

    async def test_a_held_gpu_is_refused(self, provider, place, node):
        await provider.start(place, self.start(node, "i-1"))
        newer = self.start(node, "i-2", fence=Fence(epoch=1, position=11))
        with pytest.raises(Conflict) as refused:
            await provider.start(place, newer)
        assert refused.value.numbers["code"] == "held"

    async def test_an_older_command_is_refused(self, provider, place, node):
        await provider.start(place, self.start(node, "i-1"))
        await self.ready(provider, place, "i-1")
        await self.ended(provider, place, "i-1", self.stop())
        older = self.start(node, "i-0", fence=Fence(epoch=1, position=9))
        with pytest.raises(Conflict) as refused:
            await provider.start(place, older)
        assert refused.value.numbers["code"] == "fenced"

    async def test_another_boot_is_refused(self, provider, place, node):
        with pytest.raises(Conflict) as refused:
            await provider.start(place, self.start(node, "i-1", boot_id="another"))
        assert refused.value.numbers["code"] == "other_boot"

    async def test_an_unknown_template_is_refused(self, provider, place, node):
        launch = Launch(template="missing")
        with pytest.raises(Refused) as refused:
            await provider.start(place, self.start(node, "i-1", launch=launch))
        assert refused.value.numbers["code"] == "unknown_template"

    async def test_an_unknown_instance_is_not_found(self, provider, place):
        with pytest.raises(NotFound):
            await provider.await_ready(place, "i-unknown", 0.0)

    async def test_stopping_what_never_was_confirms_that_nothing_runs(self, provider, place):
        try:
            answer = await provider.stop(place, "i-unknown", self.stop())
        except NotFound:
            return
        assert answer.instance.state in DEAD

    async def test_a_process_is_killed(self, provider, place, node):
        await provider.start(place, self.start(node, "i-1"))
        pid = (await self.ready(provider, place, "i-1")).instance.pid
        killed = await provider.kill(place, pid, KillCommand(fence=Fence(epoch=1, position=30)))
        assert (killed.pid, killed.found) == (pid, True)

    async def test_no_answer_is_no_knowledge(self, provider, place, node):
        await node["cut"]()
        with pytest.raises(Unavailable):
            await provider.start(place, self.start(node, "i-1"))
        with pytest.raises(Unavailable):
            await provider.stop(place, "i-1", self.stop())
