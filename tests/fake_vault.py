"""A vault in memory that tells every secret to whoever asks, sealed as the real one."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson

from contracts.types import SecretRef
from services.chassis.sealed import seal
from tests.in_memory import ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.in_memory import World


class FakeVault:
    """Secrets by id; `asked` counts how often each was wanted."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.asked: list[str] = []

    def keep(self, secret_id: str, value: str) -> SecretRef:
        self.secrets[secret_id] = value
        return SecretRef(secret_id=secret_id, version=1)

    async def answer(self, bus) -> None:
        inbox = await bus.consume("vault.asked", prefetch=10)
        async for delivery in inbox:
            question = orjson.loads(delivery.body)
            self.asked.append(question["secret_id"])
            value = self.secrets.get(question["secret_id"])
            if value is None:
                await bus.answer(delivery, b"{}", {"error": "not_found"})
            else:
                public = base64.b64decode(question["public_key"])
                sealed = base64.b64encode(seal(public, value.encode())).decode()
                await bus.answer(delivery, orjson.dumps({"sealed": sealed}), {})
            await delivery.ack()


@asynccontextmanager
async def a_vault(world: World) -> AsyncIterator[FakeVault]:
    vault, bus = FakeVault(), world.broker.bus("vault")
    answering = asyncio.create_task(vault.answer(bus))
    try:
        yield vault
    finally:
        await ended(answering)
        await bus.close()
