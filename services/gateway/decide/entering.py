"""What coming in is asked with and what comes of it: rules, tokens, denials."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from contracts.roles import Grant, Role
from services.gateway.decide.throttling import Limit


@dataclass(frozen=True)
class Rules:
    """What the settings say about coming in; refresh: None where tokens cannot be refreshed.

    per_place: one name from one address. per_name: one name from everywhere, so much more that
    nobody locks out another by being wrong on purpose. per_address: one address with any name.
    """

    is_open: bool = False
    refresh: timedelta | None = timedelta(days=30)
    per_place: Limit = field(default_factory=lambda: Limit(5))
    per_name: Limit = field(default_factory=lambda: Limit(50))
    per_address: Limit = field(default_factory=lambda: Limit(20))


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account that somebody wants."""

    name: str
    password: str
    role: Role | None


@dataclass(frozen=True, slots=True)
class WantedKey:
    """An API key that somebody wants; days: how long it is good, None for ever."""

    name: str
    role: Role
    permissions: tuple[Grant, ...] | None
    days: int | None


@dataclass(frozen=True, slots=True)
class Denied:
    """Why somebody does not come in; nothing of it tells whether an account exists."""

    why: Literal["wrong", "too_often", "forbidden"]
    detail: str
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """What a login or a refresh gives, shown to who asked and kept nowhere."""

    access: str
    lasts_s: int
    refresh: str | None
