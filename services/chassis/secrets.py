"""Ask the vault for a secret, sealed to a key that lives for this one question."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson

from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.sealed import Keypair

if TYPE_CHECKING:
    from contracts.types import SecretRef
    from services.chassis.ports import Bus

EXCHANGE, KEY = "qm.vault", "vault.asked"


async def reveal(bus: Bus, ref: SecretRef) -> str:
    """Return a secret's value; never log it, never keep it longer than its use.

    Raises Unavailable when the vault does not answer, Refused when it will not tell.
    """
    keypair = Keypair.new()
    question = {
        "op": "open",
        "secret_id": ref.secret_id,
        "version": ref.version,
        "public_key": base64.b64encode(keypair.public).decode(),
    }
    headers, body = await bus.ask(EXCHANGE, KEY, orjson.dumps(question))
    if headers.get("error"):
        raise _refusal(ref, str(headers["error"]), body)
    try:
        sealed = base64.b64decode(orjson.loads(body)["sealed"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise Bug(f"the vault's answer about {ref.secret_id} cannot be read") from error
    return keypair.open(sealed).decode()


def _refusal(ref: SecretRef, code: str, body: bytes) -> Refused | Unavailable:
    del body  # it may quote what it refused
    sentence = f"the vault does not open {ref.secret_id} version {ref.version}: {code}"
    return Unavailable(sentence) if code == Unavailable.code else Refused(sentence)
