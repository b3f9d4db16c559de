"""Accounts at work: registering, logging in and out, passwords, API keys."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import structlog

from contracts.roles import Permission
from services.chassis import ids
from services.chassis.errors import QuartermasterError, Refused
from services.gateway.decide.accounts import (
    ChangePassword,
    Register,
    named,
    password_version,
    refused_to_register,
    secret_of,
)
from services.gateway.decide.api_keys import CreateKey, refused_to_make
from services.gateway.decide.entering import Denied, Opened
from services.gateway.decide.principals import Session, of_session
from services.gateway.decide.throttling import Bucket
from services.gateway.handlers.entry import KEY_MARK, key_digest

if TYPE_CHECKING:
    from datetime import datetime

    from services.chassis.clock import Clock
    from services.gateway.decide.asking import Answer, Asked
    from services.gateway.decide.entering import NewAccount, Rules, WantedKey
    from services.gateway.decide.principals import Principal
    from services.gateway.decide.verdicts import Command
    from services.gateway.handlers.commands import Commands
    from services.gateway.handlers.entry import Judged
    from services.gateway.handlers.entry_ports import Own
    from services.gateway.state import Entity

log = structlog.get_logger(__name__)
REFRESH_MARK = "qmr_"

WRONG = Denied("wrong", "the username or the password is wrong")
WRONG_TOKEN = Denied("wrong", "this refresh token is not good (any more): log in again")


class Accounts:
    """Lets people in, and carries out what concerns accounts and keys."""

    def __init__(
        self, judged: Judged, commands: Commands, own: Own, rules: Rules, clock: Clock
    ) -> None:
        self._judged, self._commands, self._own = judged, commands, own
        self._rules, self._clock = rules, clock

    async def carry_out(self, command: Command, asked: Asked, secret: str | None = None) -> Answer:
        """Return a command's answer, once no gateway judges without knowing of it."""
        answer = await self._commands.execute(command, asked, secret)
        if answer.position is not None:
            await self._own.credentials.advance(answer.position)
        return answer

    async def register(
        self, new: NewAccount, asker: Principal | None, asked: Asked, address: str
    ) -> Answer | Denied:
        """Register an account; for a stranger only where registration is open, as a viewer."""
        is_admin = asker is not None and asker.may(Permission.ADMIN)
        why = refused_to_register(by_admin=is_admin, is_open=self._rules.is_open, role=new.role)
        if why is not None:
            return Denied("forbidden", why)
        if not is_admin and (wait_s := await self._charge([self._of_address(address)])):
            return _too_often(wait_s)
        digest = await self._own.passwords.digest(new.password)
        by_bootstrap = asker is not None and asker.kind == "bootstrap"
        # A stranger acts in the name that becomes theirs, and with no memory of others' requests.
        by = asked if asker is not None else replace(asked, actor=new.name, key=None)
        return await self.carry_out(Register(new.name, new.role, by_bootstrap), by, digest)

    async def login(self, name: str, password: str, address: str) -> Opened | Denied:
        """Open a session; whoever is wrong learns nothing else, and not sooner."""
        buckets = self._of_person(name, address)
        if wait_s := await self._charge(buckets):
            return _too_often(wait_s)
        found = await self._right(name, password)
        if found is None:
            log.warning("login refused", address=address)
            return WRONG
        await self._own.attempts.give_back(buckets)
        account_id, account = found
        session = Session(ids.uuid7(), account_id, account.data["password"]["version"])
        return await self._open(session)

    async def refresh(self, shown: str) -> Opened | Denied:
        """Exchange a refresh token for a new one and a new access token."""
        if self._rules.refresh is None or not shown.startswith(REFRESH_MARK):
            return WRONG_TOKEN
        # First, whether it can be judged at all: a token used up by a 503 would look stolen next.
        state = await self._judged.at(await self._own.credentials.authority())
        now, given = self._clock.now(), REFRESH_MARK + ids.token()
        until = now + self._rules.refresh
        session = await self._own.sessions.refresh(_digest(shown), _digest(given), now, until)
        if session is None:
            return WRONG_TOKEN
        if of_session(state, session, until) is None:
            await self._own.sessions.end(session.session_id)
            return WRONG_TOKEN
        return self._opened(session, now, given)

    async def logout(self, session_id: str) -> None:
        """End a session: its tokens open nothing any more, at any gateway."""
        await self._own.sessions.end(session_id)

    async def change_password(
        self, asker: Principal, passwords: tuple[str, str], asked: Asked, address: str
    ) -> Answer | Denied:
        """Replace who asks' password, given the current one; all of their sessions end."""
        current, new = passwords
        if asker.kind != "account":
            return Denied("forbidden", "only an account has a password")
        buckets = self._of_person(asker.name, address)
        if wait_s := await self._charge(buckets):
            return _too_often(wait_s)
        found = await self._right(asker.name, current)
        if found is None or found[0] != asker.id:
            raise Refused("this is not the password now", field="current_password")
        await self._own.attempts.give_back(buckets)
        return await self.set_password(found[0], new, asked)

    async def set_password(self, account_id: str, password: str, asked: Asked) -> Answer:
        """Give an account another password; all of its sessions end."""
        digest = await self._own.passwords.digest(password)
        known = await self._judged.at(await self._own.credentials.authority())
        command = ChangePassword(account_id, above=password_version(known, account_id))
        answer = await self.carry_out(command, asked, digest)
        state = await self._judged.at(answer.position or 0)
        if version := password_version(state, account_id):
            await self._own.credentials.forget_older(secret_of(account_id), version)
        return answer

    async def create_key(
        self, wanted: WantedKey, asker: Principal, asked: Asked
    ) -> tuple[Answer, str | None] | Denied:
        """Make an API key; the key itself is None where it was shown before."""
        why = refused_to_make(asker, wanted.role, wanted.permissions)
        if why is not None:
            return Denied("forbidden", why)
        key = KEY_MARK + ids.token()
        days = wanted.days
        until = None if days is None else self._clock.now() + timedelta(days=days)
        command = CreateKey(wanted.name, wanted.role, wanted.permissions, until, asker.id)
        answer = await self.carry_out(command, asked, key_digest(key))
        return answer, None if answer.repeated else key

    async def all_of(self, kind: Literal["account", "key"]) -> dict[str, Entity]:
        """Return all accounts or keys by id, in the order of their ids."""
        state = await self._judged.at(await self._own.credentials.authority())
        return dict(sorted(state.entities[kind].items()))

    async def _right(self, name: str, password: str) -> tuple[str, Entity] | None:
        """Return the account of a name when the password is right; as slow when there is none."""
        state = await self._judged.at(await self._own.credentials.authority())
        found = named(state, name)
        account_id, version = (
            ("", 0) if found is None else (found[0], found[1].data["password"]["version"])
        )
        digest = await self._own.credentials.digest(secret_of(account_id), version)
        if not await self._own.passwords.is_right(digest, password) or digest is None:
            return None
        if self._own.passwords.is_dated(digest):
            await self._renew(secret_of(account_id), version, password)
        return found

    async def _renew(self, secret_id: str, version: int, password: str) -> None:
        """Digest a password as we do it today; what fails here can wait for the next login."""
        try:
            digest = await self._own.passwords.digest(password)
            await self._own.credentials.renew(secret_id, version, digest)
        except QuartermasterError as error:
            log.warning("a password keeps its older digest", because=error.detail)

    async def _open(self, session: Session) -> Opened:
        now = self._clock.now()
        refresh = None if self._rules.refresh is None else REFRESH_MARK + ids.token()
        until = now + (self._rules.refresh or self._own.tokens.lifetime)
        digest = None if refresh is None else _digest(refresh)
        await self._own.sessions.open(session, now, until, digest)
        log.info("session opened", account_id=session.account_id, session_id=session.session_id)
        return self._opened(session, now, refresh)

    def _opened(self, session: Session, now: datetime, refresh: str | None) -> Opened:
        tokens = self._own.tokens
        access = tokens.issue(session.account_id, session.session_id, now)
        return Opened(access, int(tokens.lifetime.total_seconds()), refresh)

    async def _charge(self, buckets: list[Bucket]) -> float:
        wait_s = await self._own.attempts.charge(buckets, self._clock.now())
        if wait_s:
            log.warning("too many attempts", wait_s=round(wait_s, 1))
        return wait_s

    def _of_person(self, name: str, address: str) -> list[Bucket]:
        known = name.strip().lower()
        return [
            Bucket(f"place {address} {known}", self._rules.per_place),
            Bucket(f"name {known}", self._rules.per_name),
            self._of_address(address),
        ]

    def _of_address(self, address: str) -> Bucket:
        return Bucket(f"address {address}", self._rules.per_address)


def _too_often(wait_s: float) -> Denied:
    seconds = math.ceil(wait_s)
    return Denied("too_often", f"too many attempts: try again in {seconds} s", seconds)


def _digest(shown: str) -> bytes:
    return hashlib.sha256(shown.encode("utf-8", "replace")).digest()
