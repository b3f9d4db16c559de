"""What every route is given: commands, reads, and who asks on which conditions."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Header, Query, Request
from pydantic import Field, StringConstraints
from starlette.requests import HTTPConnection
from starlette.responses import Response

from contracts.types import Launch
from services.chassis.addresses import Proxies
from services.chassis.errors import Refused
from services.gateway.decide.asking import Answer, Asked
from services.gateway.decide.verdicts import Command
from services.gateway.routes.access import who_asks
from services.gateway.routes.entrance import Accounts
from services.gateway.routes.targets import Targets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from services.chassis.health import Health
    from services.gateway.routes.answers import Envelopes
    from services.gateway.state import State

ANONYMOUS = "anonymous"
_TAG = re.compile(r'(?:W/)?"([0-9]{1,15})(?:-[0-9a-z]{1,64})?"')
Position = Annotated[int, Field(ge=0, le=2**53)]
IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=200)]


class Commands(Protocol):
    """What carries out commands."""

    async def execute(self, command: Command, asked: Asked, secret: str | None = None) -> Answer:
        """Return what a command came to, once it is recorded."""

    async def heartbeat(self, node_id: str) -> None:
        """Hand over a node's call."""

    def read_from(self) -> int:
        """Return the position that a read must have, so that people read their own writes."""


class Read(Protocol):
    """An answer of the query service."""

    @property
    def status(self) -> int:
        """200, or 304 without a body."""

    @property
    def body(self) -> bytes:
        """JSON."""

    @property
    def etag(self) -> str | None:
        """Its tag, if it has one."""

    @property
    def position(self) -> int | None:
        """The position it holds for."""

    @property
    def as_of(self) -> bytes | None:
        """Of which point of the past it is, as JSON; None for now."""


class Reads(Protocol):
    """What answers reads."""

    async def get(self, path: str, parameters: Sequence[tuple[str, str]], etag: str | None) -> Read:
        """Return the answer to a read."""


class Journal(Protocol):
    """What answers for the log itself."""

    async def start(self, kind: str, parameters: Mapping[str, Any], actor: str) -> bytes:
        """Start a job, or join the one that is at work already; return it as JSON."""

    async def jobs(self) -> bytes:
        """Return the jobs that are kept, newest first, as a JSON array."""

    async def job(self, job_id: str) -> bytes:
        """Return a job as JSON."""

    async def cancel(self, job_id: str) -> bytes:
        """Ask a job to end; return it as JSON."""

    async def parked(self) -> bytes:
        """Return what is parked, the oldest first, as JSON."""

    async def parked_message(self, id_: str) -> bytes:
        """Return a parked message with all that it says, as JSON."""

    async def retry_parked(self, id_: str, actor: str) -> bytes:
        """Have a parked message judged again; return what came of it as JSON."""

    async def drop_parked(self, id_: str, actor: str, because: str) -> bytes:
        """Throw a parked message away; return what it was as JSON."""

    async def export(self, question: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
        """Return a page of events: the headers through, head, events, and lines of JSON."""


class Scheduler(Protocol):
    """What answers for decisions."""

    async def explain(self, question: Mapping[str, Any]) -> tuple[bytes, int]:
        """Return an explanation as JSON, and the position it holds for."""


class Workers(Protocol):
    """What knows what workers write."""

    async def logs(
        self, agent_url: str, instance_id: str, tail: int, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """Return a worker's last lines, and with `follow` what comes, until it ends.

        Raises NotFound, Refused, Unavailable before the first bytes; the iterator Unavailable.
        """


@dataclass(frozen=True)
class About:
    """What the gateway says of itself."""

    name: str
    version: str
    api: str


@dataclass(frozen=True)
class Doors:
    """Everything routes need. known: what the gateway has folded, at least to a position."""

    commands: Commands
    known: Callable[[int], Awaitable[State]]
    accounts: Accounts
    reads: Reads
    journal: Journal
    scheduler: Scheduler
    workers: Workers
    envelopes: Envelopes
    targets: Targets
    proxies: Proxies
    health: Health
    about: About
    launch: Callable[[str], Launch]
    fingerprint_key: bytes

    async def carry_out(
        self, command: Command, asked: Asked, secret: str | None = None
    ) -> Response:
        """Return a command's answer in the envelope."""
        return self.enveloped(await self.commands.execute(command, asked, secret))

    def enveloped(self, answer: Answer, **more: Any) -> Response:
        """Return an answer in the envelope, and say so when it was given before."""
        headers = {"idempotency-replayed": "true"} if answer.repeated else None
        data = {**answer.data, **more}
        return self.envelopes.around(
            data, status=answer.status, position=answer.position, headers=headers
        )


async def _doors(connection: HTTPConnection) -> Doors:
    doors: Doors = connection.app.state.doors
    return doors


DoorsHere = Annotated[Doors, Depends(_doors)]


async def _asked(
    request: Request,
    doors: DoorsHere,
    idempotency_key: Annotated[
        IdempotencyKey | None,
        Header(alias="Idempotency-Key", description="The same key again is the same command."),
    ] = None,
    if_position: Annotated[
        Position | None,
        Query(description="Refuse with 409 when what it touches changed after this position."),
    ] = None,
    if_position_header: Annotated[Position | None, Header(alias="If-Position")] = None,
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="The ETag of what you read; 412 when it changed."),
    ] = None,
) -> Asked:
    wanted = if_position if if_position is not None else if_position_header
    tagged = position_of(if_match) if if_match is not None and wanted is None else None
    asker = who_asks(request)
    actor = asker.name if asker is not None else ANONYMOUS
    fingerprint = b""
    if idempotency_key is not None:
        what = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
        fingerprint = hmac.digest(
            doors.fingerprint_key, what + await request.body(), hashlib.sha256
        )
    is_tag = tagged is not None
    return Asked(actor, idempotency_key, fingerprint, tagged if is_tag else wanted, is_tag)


def position_of(tag: str) -> int | None:
    """Return the position that an ETag of ours was read at, None for `*`: as it is now.

    Raises Refused for what is no tag of ours.
    """
    if tag.strip() == "*":
        return None
    found = _TAG.fullmatch(tag.strip())
    if found is None:
        raise Refused("send one ETag as an earlier answer had it", field="If-Match")
    return int(found[1])


AskedHere = Annotated[Asked, Depends(_asked)]
