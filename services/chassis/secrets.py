"""Speak with the vault: values travel sealed, to its key or to one that lives for one question."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from contracts.types import SecretRef
from services.chassis import wire
from services.chassis.errors import Bug, QuartermasterError, Refused, Unavailable
from services.chassis.sealed import Keypair, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.chassis.ports import Bus

VAULT_ASKED = "vault.asked"
# What is not the asker's fault must not be told as if it were.
_CLASSES: dict[str, type[QuartermasterError]] = {each.code: each for each in (Unavailable, Bug)}


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
    headers, body = await bus.ask(wire.EXCHANGE_VAULT, VAULT_ASKED, orjson.dumps(question))
    if headers.get("error"):
        raise _refusal(ref, str(headers["error"]), body)
    try:
        sealed = base64.b64decode(orjson.loads(body)["sealed"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"the vault's answer about {ref.secret_id} cannot be read") from error
    return keypair.open(sealed).decode()


class Revealed:
    """Reveals secrets and remembers them, for who uses them every few seconds.

    A version of a secret never changes, so what is remembered is never wrong; it lives in this
    object's memory only.
    """

    def __init__(self, bus: Bus, *, at_most: int = 1000) -> None:
        self._bus, self._at_most = bus, at_most
        self._values: dict[tuple[str, int], str] = {}

    async def __call__(self, ref: SecretRef) -> str:
        """Return a secret's value; raises as `reveal` does."""
        key = (ref.secret_id, ref.version)
        if key not in self._values:
            value = await reveal(self._bus, ref)
            while len(self._values) >= self._at_most:
                del self._values[next(iter(self._values))]
            self._values[key] = value
        return self._values[key]

    def remembered(self, ref: SecretRef) -> str | None:
        """Return a secret's value where it is known already, without asking anybody."""
        return self._values.get((ref.secret_id, ref.version))


def _refusal(ref: SecretRef, code: str, body: bytes) -> Refused | Unavailable:
    del body  # it may quote what it refused
    sentence = f"the vault does not open {ref.secret_id} version {ref.version}: {code}"
    if code == Unavailable.code:
        return Unavailable(sentence)
    return Refused(sentence, code="secret_refused")


async def store(
    bus: Bus,
    secret_id: str,
    value: str,
    *,
    purpose: str,
    readers: Sequence[str],
    request_id: str | None = None,
) -> SecretRef:
    """Return where a new version of a secret is kept; the same request_id is the same version.

    readers: the services it may be opened for. Raises Unavailable when the vault does not answer,
    Refused when it will not keep it, Bug when it failed.
    """
    key = _decoded((await _ask(bus, {"op": "key"}))["public_key"])
    question = {
        "op": "put",
        "secret_id": secret_id,
        "purpose": purpose,
        "readers": list(readers),
        "sealed": base64.b64encode(seal(key, value.encode())).decode(),
        "request_id": request_id,
    }
    answer = await _ask(bus, question)
    return SecretRef(secret_id=secret_id, version=answer["version"])


async def forget(bus: Bus, secret_id: str, version: int | None = None) -> None:
    """Have one version of a secret erased, or all; their numbers are never used again."""
    await _ask(bus, {"op": "erase", "secret_id": secret_id, "version": version})


async def _ask(bus: Bus, question: dict[str, Any]) -> dict[str, Any]:
    headers, body = await bus.ask(wire.EXCHANGE_VAULT, VAULT_ASKED, orjson.dumps(question))
    if code := headers.get("error"):
        sentence = f"the vault refuses to {question['op']} {question.get('secret_id', '')}: {code}"
        raise _CLASSES.get(str(code), Refused)(sentence)
    answer: dict[str, Any] = orjson.loads(body)
    return answer


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
