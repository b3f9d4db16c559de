"""One command from the request to the answer: fold, decide, propose, wait until it is folded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from contracts.envelope import Draft
from contracts.events.node import NodeHeartbeat
from services.chassis import ids
from services.chassis.errors import (
    Conflict,
    NotFound,
    Outdated,
    QuartermasterError,
    Refused,
    Unavailable,
)
from services.gateway.decide import keeping
from services.gateway.decide.asking import Answer, Claim, Stored
from services.gateway.decide.verdicts import Denial, Given
from services.gateway.decide.views import view
from services.gateway.handlers.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.types import SecretRef
    from services.chassis.clock import Clock
    from services.gateway.decide.asking import Asked
    from services.gateway.decide.verdicts import Command, Decision
    from services.gateway.handlers.ports import Keys, Log, Recorder, Vault
    from services.gateway.state import State

log = structlog.get_logger(__name__)

# Two gateways that fill one environment take turns by losing to each other, half of the time each:
# after 12 conflicts in a row, one in 4096, who asked is told.
ATTEMPTS = 12
START_S = 5.0
FOLD_S = 5.0
NEWS_S = 1.0
OWN_WRITES_S = 10.0


class Commands:
    """Carries out commands, each at most once for a key, and answers what is true after it."""

    def __init__(
        self,
        state: State,
        folded: Log,
        recorder: Recorder,
        keys: Keys,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._state, self._log, self._recorder = state, folded, recorder
        self._keys, self._vault, self._clock = keys, vault, clock
        self._turns = Turns()
        self._has_started = False
        self._written, self._written_at = 0, 0.0

    async def execute(self, command: Command, asked: Asked, secret: str | None = None) -> Answer:
        """Return what the command came to, once it is recorded and folded here.

        Raises Refused, NotFound, Conflict (also while its key is in flight), or Unavailable: then
        the same request with the same key is the way to learn the outcome.
        """
        await self._started()
        claim = await self._claim(asked)
        if claim.answered is not None:
            return claim.answered
        try:
            answer = await self._carry_out(command, claim, secret)
        except (Refused, Conflict) as error:
            log.info("command refused", command=_name(command), actor=asked.actor, code=error.code)
            await self._settle(claim, None)
            raise
        except BaseException:
            await self._let_go(claim)
            raise
        log.info(
            "command done", command=_name(command), actor=asked.actor, position=answer.position
        )
        await self._settle(claim, answer)
        return answer

    async def heartbeat(self, node_id: str) -> None:
        """Hand over a node's call as telemetry; raises NotFound for one that is not registered."""
        await self._started()
        if self._state.find("node", node_id) is None:
            raise NotFound(f"there is no node {node_id}")
        self._recorder.offer(Draft(f"node-reports/{node_id}", NodeHeartbeat(node_id=node_id)))

    def read_from(self) -> int:
        """Return the position of what was written here just now, 0 when nothing was.

        Later a read is worth more than its being up to date with a projector that stands still.
        """
        is_new = self._clock.monotonic() - self._written_at < OWN_WRITES_S
        return self._written if is_new else 0

    async def _started(self) -> None:
        """Refuse commands until the log was read to its end once."""
        if not self._has_started:
            try:
                async with asyncio.timeout(START_S):
                    await self._log.caught_up()
            except TimeoutError as error:
                raise Unavailable("the log is still being read") from error
            self._has_started = True

    async def _claim(self, asked: Asked) -> Claim:
        return Claim(asked, "") if asked.key is None else await self._keys.claim(asked)

    async def _settle(self, claim: Claim, answer: Answer | None) -> None:
        if claim.token and answer is not None:
            await self._keys.finish(claim, answer)
        elif claim.token:
            await self._keys.forget(claim)

    async def _let_go(self, claim: Claim) -> None:
        """Whoever asks again goes on at once; if even this fails, after the claim's time."""
        if claim.token:
            with suppress(QuartermasterError):
                await self._keys.let_go(claim)

    async def _carry_out(self, command: Command, claim: Claim, secret: str | None) -> Answer:
        if claim.stored is not None:
            with suppress(Conflict):  # it was never recorded, and the world has moved: decide anew
                return await self._propose_stored(claim, claim.stored)
        await self._check_position(claim.asked)
        async with self._turns.take(command.touches(self._state)):
            return await self._decide_and_propose(command, claim, secret)

    async def _decide_and_propose(
        self, command: Command, claim: Claim, secret: str | None
    ) -> Answer:
        """Keep the secret of what is not refused anyway; refused after all, forget it again."""
        given = Given(ids.uuid7().replace("-", "")[:20])
        self._decide(command, claim.asked, given)
        ref = await self._keep_secret(command, given, secret)
        try:
            return await self._until_taken(command, claim, Given(given.fresh, ref))
        except (Refused, Conflict):
            await self._forget_useless((ref,) if ref else ())
            raise

    async def _propose_stored(self, claim: Claim, stored: Stored) -> Answer:
        """Propose again what an earlier request did; refused now, it was never recorded."""
        try:
            return await self._propose(claim, stored, repeated=True)
        except (Refused, Conflict):
            await self._forget_useless(keeping.secrets_of(stored.decision))
            raise

    async def _until_taken(self, command: Command, claim: Claim, given: Given) -> Answer:
        """Decide on what is folded; when the journal knows better, fold that and decide again."""
        attempts = 1
        while True:
            try:
                return await self._try(command, claim, given)
            except Conflict as moved:
                if attempts == ATTEMPTS or not await self._has_news(moved):
                    raise
            attempts += 1

    async def _try(self, command: Command, claim: Claim, given: Given) -> Answer:
        decision = self._decide(command, claim.asked, given)
        if not decision.drafts:
            return self._answer(decision, self._log.position)
        stored = Stored(tuple(ids.uuid7() for _ in decision.drafts), decision)
        if claim.token:
            await self._keys.keep(claim, stored)
        return await self._propose(claim, stored)

    def _decide(self, command: Command, asked: Asked, given: Given) -> Decision:
        if asked.if_position is not None:
            self._unchanged_since(asked.if_position, command, is_tag=asked.if_match)
        verdict = command.decide(self._state, given)
        if isinstance(verdict, Denial):
            raise _error(verdict)
        return verdict

    def _unchanged_since(self, position: int, command: Command, *, is_tag: bool) -> None:
        for stream in command.touches(self._state):
            changed_at = self._state.changed_at.get(stream, 0)
            if changed_at > position:
                named, error = ("If-Match", Outdated) if is_tag else ("if_position", Conflict)
                sentence = f"{stream} changed at {changed_at}, after {named} {position}"
                raise error(sentence, field=named, changed_at=changed_at)

    async def _check_position(self, asked: Asked) -> None:
        """Wait until the condition's position is folded; it is later than us, or never was."""
        if asked.if_position is not None:
            try:
                await self._log.reach(asked.if_position, timeout_s=FOLD_S)
            except Unavailable as error:
                position = self._log.position
                sentence = f"the log ends at {position}, before if_position"
                raise Conflict(sentence, field="if_position", position=position) from error

    async def _keep_secret(
        self, command: Command, given: Given, secret: str | None
    ) -> SecretRef | None:
        wanted = command.secret_wanted(given)
        if wanted is None or secret is None:
            return None
        return await self._vault.store(wanted, secret, ids.uuid7())

    async def _propose(self, claim: Claim, stored: Stored, *, repeated: bool = False) -> Answer:
        decision = stored.decision
        accepted = await self._recorder.propose(
            *decision.drafts, event_ids=stored.event_ids, actor=claim.asked.actor
        )
        if accepted.position > self._written:
            self._written, self._written_at = accepted.position, self._clock.monotonic()
        with suppress(Unavailable):  # recorded it is; only the answer is shorter
            await self._log.reach(accepted.position, timeout_s=FOLD_S)
        for secret_id in decision.forgets:
            await self._forget_secret(secret_id)
        await self._forget_useless(decision.drops)
        return self._answer(decision, accepted.position, repeated=repeated)

    async def _forget_useless(self, refs: Sequence[SecretRef]) -> None:
        """Forget what nothing in the log needs, or ever will."""
        for ref in refs:
            await self._forget_secret(ref.secret_id, ref.version)

    async def _forget_secret(self, secret_id: str, version: int | None = None) -> None:
        try:
            await self._vault.forget(secret_id, version)
        except QuartermasterError as error:
            log.warning("a secret nobody needs stays", secret_id=secret_id, because=error.detail)

    def _answer(self, decision: Decision, position: int, *, repeated: bool = False) -> Answer:
        data = dict(decision.answer)
        if decision.shows is not None:
            kind, id_ = decision.shows
            entity = self._state.find(kind, id_)
            data = view(kind, id_, entity) if entity is not None else {"id": id_, **data}
        return Answer(decision.status, data, position, repeated)

    async def _has_news(self, moved: Conflict) -> bool:
        """Wait until what the journal spoke of is folded; False where it was no such conflict."""
        stream, current = moved.numbers.get("stream"), moved.numbers.get("current")
        if not isinstance(stream, str) or not isinstance(current, int):
            return False
        with suppress(Unavailable):
            while self._state.version_of(stream) < current:
                await self._log.reach(self._log.position + 1, timeout_s=NEWS_S)
        return True


def _name(command: Command) -> str:
    return type(command).__name__


def _error(denial: Denial) -> QuartermasterError:
    classes = {"refused": Refused, "not_found": NotFound, "conflict": Conflict}
    extra = {
        **({"field": denial.about} if denial.about else {}),
        **({"errors": denial.errors} if denial.errors else {}),
    }
    return classes[denial.kind](denial.detail, **denial.numbers, **extra)
