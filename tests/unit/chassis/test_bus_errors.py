"""Who was told to end ends, and nobody else, whatever the broker's client makes of it."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.bus.errors import mapped
from services.chassis.errors import Unavailable


async def test_a_connection_that_the_client_gives_up_ends_nobody():
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    with pytest.raises(Unavailable, match="asking: the connection was given up"), mapped("asking"):
        await given_up


@pytest.mark.parametrize("instead", [None, ConnectionError("closed"), ValueError("odd")])
async def test_an_end_that_the_client_forgets_is_an_end_all_the_same(instead):
    async def forgets() -> None:
        with mapped("closing"):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if instead is not None:
                    raise instead from None

    task = asyncio.create_task(forgets())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_time_limits_inside_and_around_stay_what_they_are():
    async def waiting(inside_s: float, around_s: float) -> None:
        async with asyncio.timeout(around_s):
            with mapped("asking"):
                async with asyncio.timeout(inside_s):
                    await asyncio.Event().wait()

    with pytest.raises(Unavailable, match="did not answer in time"):
        await waiting(0.01, 5.0)
    with pytest.raises(TimeoutError):
        await waiting(5.0, 0.01)
