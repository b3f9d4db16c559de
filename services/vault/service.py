"""Wiring of the vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.chassis import bus
from services.chassis.database import connect_pool
from services.chassis.run import run
from services.vault.adapters.cipher import AesGcm
from services.vault.adapters.secrets_table import SecretsTable
from services.vault.handlers import Vault, answer_questions
from services.vault.settings import Settings

if TYPE_CHECKING:
    from services.chassis.run import Context

ACQUIRE_S = 4.0  # who asks waits for 5


async def main(context: Context) -> None:
    """Answer questions about secrets until told to stop."""
    settings = Settings()
    broker = await bus.connect("vault", settings.amqp_url)
    database = await connect_pool(settings.database_url, service="vault", acquire_s=ACQUIRE_S)
    try:
        vault = Vault(SecretsTable(database), AesGcm(settings.key()))
        await answer_questions(broker, vault, context.clock.sleep)
    finally:
        await broker.close()
        await database.close()


def start() -> int:
    """Run the vault in this process."""
    return run("vault", main)
