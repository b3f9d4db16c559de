"""The queue of questions: each is answered, refused, or said to be ours to mend; none is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.http.explain import Kind
from contracts.types import Count
from services.chassis.errors import Bug, QuartermasterError, Refused, Unavailable
from services.chassis.supervision import Together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from contracts.http.explain import Explanation
    from services.chassis.ports import Bus, Delivery

log = structlog.get_logger(__name__)

QUEUE = "scheduler.asked"
# Each has a copy of the fleet; those about the past take longer, and keep none of now waiting.
AT_ONCE = 8
RETRY_S = 0.5


class Question(BaseModel):
    """`{op: explain, kind, id, as_of, min_position}`; id: an id, or a name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    op: Literal["explain"]
    kind: Kind
    id: str = Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")
    as_of: str | None = Field(default=None, max_length=64)
    min_position: Count = 0


class Explainer(Protocol):
    """What answers a question."""

    async def explain(self, question: Question) -> Explanation:
        """Return the answer; raises Refused, NotFound, Conflict or Unavailable."""


class Asked:
    """Takes questions for ever, from when `ready` returns: until then others answer them."""

    def __init__(
        self,
        bus: Bus,
        explainer: Explainer,
        ready: Callable[[], Awaitable[None]],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bus, self._explainer = bus, explainer
        self._ready, self._pause = ready, pause

    async def run(self) -> None:
        """Answer for ever, through lost connections."""
        await self._ready()
        while True:
            try:
                await self._take()
            except Unavailable as lost:
                log.info("consuming again", queue=QUEUE, because=lost.detail)
                await self._pause(RETRY_S)

    async def _take(self) -> None:
        inbox = await self._bus.consume(QUEUE, prefetch=AT_ONCE)
        try:
            async with Together() as answering:
                async for delivery in inbox:
                    answering.create_task(self._answer(delivery))
        finally:
            with suppress(Unavailable):
                await inbox.close()

    async def _answer(self, delivery: Delivery) -> None:
        headers, body = await self.answer(delivery.body)
        await self._bus.answer(delivery, body, headers)
        await delivery.ack()

    async def answer(self, body: bytes) -> tuple[Mapping[str, Any], bytes]:
        """Return the headers, `position` or `error`, and the body of the answer to a question."""
        try:
            explanation = await self._explainer.explain(Question.model_validate_json(body))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in problem["loc"])
            return _refused(Refused(problem["msg"], field=field))
        except QuartermasterError as error:
            return _refused(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # One question that we stumble over must not end the decisions of this process.
            log.exception("cannot explain")
            return _refused(Bug(type(error).__name__))
        return {"position": explanation.position}, explanation.model_dump_json().encode()


def _refused(error: QuartermasterError) -> tuple[Mapping[str, Any], bytes]:
    log.info("question refused", code=error.code, because=error.detail)
    said = {"error": error.code, "detail": error.detail, "field": error.numbers.get("field")}
    return {"error": error.code}, orjson.dumps(said)
