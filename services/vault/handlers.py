"""What the vault answers: its public key, a new version, an opened secret, or a refusal."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import orjson
import structlog
from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from contracts.types import Id, Text
from services.chassis.errors import Bug, NotFound, QuartermasterError, Refused, Unavailable
from services.chassis.sealed import Keypair, seal
from services.vault.state import Encrypted, Kept, NewVersion

if TYPE_CHECKING:
    from services.chassis.ports import Bus, Delivery

log = structlog.get_logger(__name__)

QUEUE = "vault.asked"
PREFETCH = 50
RETRY_S = 0.5
WRITERS = frozenset({"gateway"})
MAX_SEALED_BYTES = 128 * 1024
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
Service = Annotated[str, StringConstraints(pattern=r"^[a-z_]+$", max_length=64)]


class Cipher(Protocol):
    """What encrypts values."""

    keypair: Keypair

    def encrypt(self, plain: bytes, secret_id: str, version: int) -> Encrypted:
        """Return a value as it may be stored."""

    def decrypt(self, stored: Encrypted, secret_id: str, version: int) -> bytes:
        """Return the value."""


class Secrets(Protocol):
    """Where encrypted versions are kept."""

    async def add(self, new: NewVersion, encrypt: Callable[[int], Encrypted]) -> int:
        """Keep a new version and return its number, or the number this request already has."""

    async def get(self, secret_id: str, version: int) -> Kept | None:
        """Return a version that was not erased."""

    async def erase(self, secret_id: str, version: int | None = None) -> int:
        """Erase one version, or all, and return how many there were."""


class _Question(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class AskKey(_Question):
    """What is the key to seal to?"""

    op: Literal["key"]


class Put(_Question):
    """Keep this value, sealed to the vault's key."""

    op: Literal["put"]
    secret_id: Id
    purpose: Text = ""
    readers: Annotated[tuple[Service, ...], Field(max_length=16)]
    sealed: Annotated[Base64Bytes, Field(repr=False, max_length=MAX_SEALED_BYTES)]
    request_id: Id | None = None


class Open(_Question):
    """Give this version, sealed to the asker's key."""

    op: Literal["open"]
    secret_id: Id
    version: Version
    public_key: Annotated[Base64Bytes, Field(max_length=64)]


class Erase(_Question):
    """Forget a version of a secret; without its number, all of them."""

    op: Literal["erase"]
    secret_id: Id
    version: Version | None = None


_QUESTIONS: TypeAdapter[AskKey | Put | Open | Erase] = TypeAdapter(
    Annotated[AskKey | Put | Open | Erase, Field(discriminator="op")]
)


class Vault:
    """Answers questions; who asks is what the broker says, never what the question says."""

    def __init__(self, secrets: Secrets, cipher: Cipher) -> None:
        self._secrets, self._cipher = secrets, cipher

    async def answer(self, user: str | None, body: bytes) -> dict[str, Any]:
        """Return the answer to one question, or `{error, detail}`."""
        if not user:
            return _refused(user, Refused("the broker did not say who asks"))
        try:
            return await self._answer(user, _QUESTIONS.validate_json(body))
        except ValidationError as error:
            return _refused(user, Refused(_wrong(error)))
        except QuartermasterError as error:
            return _refused(user, error)
        except Exception as error:
            # One question that we stumble over must not keep the next ones from being answered.
            log.exception("failed", asker=user)
            return _refused(user, Bug(type(error).__name__))

    async def _answer(self, user: str, question: AskKey | Put | Open | Erase) -> dict[str, Any]:
        match question:
            case AskKey():
                return {"public_key": _text(self._cipher.keypair.public)}
            case Put():
                return await self._on_put(user, question)
            case Open():
                return await self._on_open(user, question)
            case Erase():
                _only_writers(user)
                erased = await self._secrets.erase(question.secret_id, question.version)
                return {"erased": erased}

    async def _on_put(self, user: str, put: Put) -> dict[str, Any]:
        _only_writers(user)
        plain = self._cipher.keypair.open(put.sealed)
        new = NewVersion(put.secret_id, put.purpose, put.readers, put.request_id)
        version = await self._secrets.add(
            new, lambda version: self._cipher.encrypt(plain, put.secret_id, version)
        )
        return {"version": version}

    async def _on_open(self, user: str, asked: Open) -> dict[str, Any]:
        kept = await self._secrets.get(asked.secret_id, asked.version)
        if kept is None or user not in kept.readers:  # who may not read learns nothing more
            raise NotFound(f"there is no {asked.secret_id} version {asked.version} for {user}")
        plain = self._cipher.decrypt(kept.value, asked.secret_id, asked.version)
        return {"sealed": _text(seal(asked.public_key, plain))}


async def answer_questions(
    bus: Bus, vault: Vault, pause: Callable[[float], Awaitable[None]]
) -> None:
    """Answer for ever, through lost connections; a question left unanswered is asked again."""
    while True:
        try:
            inbox = await bus.consume(QUEUE, prefetch=PREFETCH)
            try:
                async for delivery in inbox:
                    await _answer(bus, vault, delivery)
            finally:
                with suppress(Unavailable):
                    await inbox.close()
        except Unavailable as lost:
            log.info("consuming again", queue=QUEUE, because=lost.detail)
            await pause(RETRY_S)


async def _answer(bus: Bus, vault: Vault, delivery: Delivery) -> None:
    said = await vault.answer(delivery.user_id, delivery.body)
    headers = {"error": said["error"]} if "error" in said else {}
    await bus.answer(delivery, orjson.dumps(said), headers)
    await delivery.ack()


def _only_writers(user: str) -> None:
    if user not in WRITERS:
        raise Refused(f"{user} keeps no secrets")


def _refused(user: str | None, error: QuartermasterError) -> dict[str, Any]:
    """Tell the asker and the log; of a fault of ours the asker learns the kind only."""
    log.warning("refused", asker=user, code=error.code, detail=error.detail)
    detail = "the vault failed" if isinstance(error, Bug) else error.detail
    return {"error": error.code, "detail": detail}


def _wrong(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
