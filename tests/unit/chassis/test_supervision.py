"""A group of tasks fails as its first error says, and never hides that it was told to end."""

import asyncio

import pytest

from services.chassis.errors import Unavailable
from services.chassis.supervision import Together, begun, one_failure

SOON_S = 2.0


async def failing() -> None:
    raise Unavailable("away")


async def fails_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise Unavailable("lost in the same moment")


async def test_a_group_fails_as_its_first_error_says():
    with pytest.raises(Unavailable, match="away"), one_failure():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(failing())


@pytest.mark.parametrize("waits_in_block", [True, False])
async def test_the_first_error_ends_the_others_and_the_block(waits_in_block):
    others = []

    async def group() -> None:
        async with Together() as tasks:
            others.append(tasks.create_task(asyncio.Event().wait()))
            tasks.create_task(failing())
            if waits_in_block:
                await asyncio.Event().wait()

    with pytest.raises(Unavailable, match="away"):
        await group()
    assert others[0].cancelled()
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def test_an_error_of_the_block_ends_the_tasks():
    others = []

    async def group() -> None:
        async with Together() as tasks:
            others.append(tasks.create_task(asyncio.Event().wait()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await group()
    assert others[0].cancelled()


async def test_a_group_waits_for_all_that_goes_well():
    done = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    async with Together() as tasks:
        for number in range(5):
            tasks.create_task(work(number))
    assert sorted(done) == list(range(5))


@pytest.mark.parametrize("waits_in_block", [True, False])
async def test_a_task_told_to_end_while_its_group_fails_ends(waits_in_block):
    async def for_ever() -> None:
        while True:
            try:
                async with Together() as tasks:
                    tasks.create_task(fails_when_cancelled())
                    if waits_in_block:
                        await asyncio.Event().wait()
            except Unavailable:
                await asyncio.sleep(0)

    task = asyncio.create_task(for_ever())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task}, timeout=SOON_S)
    assert task.cancelled()


async def test_a_task_told_to_end_in_the_moment_of_a_failure_ends():
    fail = asyncio.Event()

    async def fails() -> None:
        await fail.wait()
        raise Unavailable("away")

    async def for_ever() -> None:
        while True:
            try:
                async with Together() as tasks:
                    tasks.create_task(fails())
                    await asyncio.Event().wait()
            except Unavailable:
                await asyncio.Event().wait()

    task = asyncio.create_task(for_ever())
    await asyncio.sleep(0.01)
    fail.set()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=SOON_S)
    assert task.cancelled()


async def test_what_was_begun_goes_on_meanwhile_and_is_ended_where_nobody_waits_for_it():
    ended = asyncio.Event()

    async def working() -> str:
        try:
            await asyncio.sleep(0)
            return "done"
        finally:
            ended.set()

    async with begun(working()) as work:
        assert await work == "done"
    ended.clear()
    with pytest.raises(LookupError):
        async with begun(asyncio.Event().wait()) as work:
            raise LookupError
    assert work.cancelled()


async def test_what_was_begun_and_failed_is_told_to_whoever_waits_and_to_nobody_else():
    async with begun(failing()) as work:
        with pytest.raises(Unavailable, match="away"):
            await work
    async with begun(failing()):
        await asyncio.sleep(0)  # nobody asks how it ended
