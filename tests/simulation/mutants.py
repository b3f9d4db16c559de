"""MUTANTS: safeguards taken away, each with its twin where two barriers stand for one promise."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from contracts.envelope import Draft
from contracts.events.gpu import GpuFreed
from contracts.events.instance import InstanceDied
from contracts.events.node import NodeWentOffline
from services.agent.decide import commands
from services.agent.handlers import agent, waking
from services.chassis.errors import QuartermasterError, Unavailable
from services.chassis.follower import Follower
from services.deployer import decide as deploying
from services.deployer.handlers import _Worker
from services.journal.adapters.memory import MemoryLog
from services.journal.publish import Publisher
from services.node_monitor import decide as monitoring
from services.scheduler.decide.settle import settle
from tests.simulation.machines import _Store
from tests.simulation.wire import SimLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def _nothing(*_: Any, **__: Any) -> None:
    return None


async def _nothing_later(*_: Any, **__: Any) -> None:
    return None


@contextmanager
def _without(*those: tuple[object, str, object]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, instead in those:
            stack.enter_context(patch.object(owner, name, instead))
        yield


def no_fence_and_no_versions() -> Any:
    """The log takes what an old leader says, on whatever version it stood."""
    return _without((MemoryLog, "_fenced", _nothing), (MemoryLog, "_conflict", _nothing))


def no_known_ids() -> Any:
    """The log does not look whether it holds an event already."""
    return _without((MemoryLog, "_known", _nothing))


def every_start_is_obeyed() -> Any:
    """The agent starts a worker whenever it is told to: again, too late, or where another lives."""

    def on_start(_: Any, command: Any, offer: Any, __: Any) -> Any:
        return commands._launch(command, offer)

    return _without((agent, "on_start", on_start))


def a_lost_answer_is_a_death() -> Any:
    """The deployer takes a stop without an answer for done."""
    asked = _Worker._stop

    async def stop(self: _Worker, instance: Any) -> Any:
        try:
            answer = await asked(self, instance)
        except QuartermasterError:
            return deploying.stopped(instance, None)
        return deploying.stopped(instance, answer.instance.exit_code)

    return _without((_Worker, "stop", stop))


def a_wish_is_a_death() -> Any:
    """The scheduler frees a GPU when it has asked for the stop."""

    def settle_more(plan: Any) -> None:
        settle(plan)
        for instance in plan.state.instances.values():
            gpu = plan.state.gpus.get(instance.gpu_uuid)
            if instance.phase == "stopping" and instance.ended is None and gpu is not None:
                event = GpuFreed(
                    gpu_uuid=gpu.uuid,
                    node_id=instance.node_id,
                    instance_id=instance.instance_id,
                    because="stopped",
                )
                plan.proposals.append((plan.on_gpu(gpu, event, None),))

    from services.scheduler import decide

    return _without((decide, "settle", settle_more))


def silence_is_a_death() -> Any:
    """The node monitor takes a node's silence for the death of its workers."""
    judged = monitoring.silence

    def silence(state: Any, *given: Any) -> list[tuple[Draft, ...]]:
        told = []
        for drafts in judged(state, *given):
            more: list[Draft] = []
            for draft in drafts:
                if isinstance(draft.event, NodeWentOffline):
                    node = state.nodes[draft.event.node_id]
                    more += [_died(each, node) for each in node.instances.values()]
            told.append((*drafts, *more))
        return told

    return _without((monitoring, "silence", silence))


def _died(instance: Any, node: Any) -> Draft:
    event = InstanceDied(
        instance_id=instance.instance_id,
        model_id=instance.model_id,
        node_id=node.node_id,
        gpu_uuid=instance.gpu_uuid,
        because="lost",
    )
    return Draft(f"instance/{instance.instance_id}", event)


def the_cursor_goes_ahead() -> Any:
    """The journal moves its cursor whether or not the broker has confirmed."""

    async def publish(self: Publisher, key: str, message: Any) -> None:
        try:
            await sent(self, key, message)
        except Unavailable:
            return

    sent = Publisher._publish
    return _without((Publisher, "_publish", publish))


def late_positions_are_skipped() -> Any:
    """A position becomes visible after a later one, and the publisher does not mind."""
    asked = SimLog.read

    async def read(self: SimLog, after: int, limit: int) -> Sequence[Any]:
        rows = list(await asked(self, after, limit))
        if len(rows) > 1 and self.sky.chances.network.random() < 0.2:
            del rows[-2]
        return rows

    return _without((SimLog, "read", read), (Publisher, "_must_be_whole", _nothing_later))


def holes_are_not_seen() -> Any:
    """A follower takes a run for the next one whatever it missed before."""
    spanned = Follower._span

    def span(self: Follower, delivery: Any) -> tuple[int, int]:
        start, end = spanned(self, delivery)
        return min(start, self.position + 1), end

    return _without((Follower, "_span", span))


def an_agent_forgets() -> Any:
    """An agent that starts again knows nothing of its workers and leaves them alone."""
    return _without((_Store, "load", _nothing), (waking, "_remove_strays", _nothing_later))


MUTANTS: tuple[Callable[[], Any], ...] = (
    no_fence_and_no_versions,
    no_known_ids,
    every_start_is_obeyed,
    a_lost_answer_is_a_death,
    a_wish_is_a_death,
    silence_is_a_death,
    the_cursor_goes_ahead,
    late_positions_are_skipped,
    holes_are_not_seen,
    an_agent_forgets,
)
