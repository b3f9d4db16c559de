"""Failpoints: nothing happens at them, unless a test armed them."""

import pytest

from services.chassis import failpoints


async def test_a_place_that_is_not_armed_does_nothing():
    await failpoints.reach(failpoints.JOURNAL_COMMITTED)


async def test_an_armed_place_fails_only_inside_of_its_block():
    async def fail() -> None:
        raise ZeroDivisionError

    with failpoints.armed("here", fail):
        await failpoints.reach("elsewhere")
        with pytest.raises(ZeroDivisionError):
            await failpoints.reach("here")
    await failpoints.reach("here")
