"""Rows of accounts and API keys: who may come in, and as what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.spoken import ago, ahead, clock, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class AccountRow:
    """An account, and how many keys it made."""

    id: str
    username: str
    role: str
    is_mine: bool
    keys: int
    made: str
    changed: str


@dataclass(frozen=True)
class KeyRow:
    """An API key: what it may do, for how long, and whose it is."""

    id: str
    name: str
    role: str
    may: str
    by: str
    made: str
    ends: str
    ends_at: str
    is_over: bool


def account_rows(
    accounts: Iterable[Mapping[str, Any]],
    keys: Iterable[Mapping[str, Any]],
    mine: str,
    now: datetime,
) -> list[AccountRow]:
    """Return accounts by name; mine: the name of who looks."""
    made = Counter(str(each.get("created_by")) for each in keys)
    rows = [
        AccountRow(
            id=str(each["id"]),
            username=str(each.get("username") or each["id"]),
            role=str(each.get("role") or ""),
            is_mine=str(each.get("username")) == mine,
            keys=made[str(each["id"])],
            made=ago(each.get("created_at"), now),
            changed=ago(each.get("updated_at"), now),
        )
        for each in accounts
    ]
    return sorted(rows, key=lambda row: row.username.lower())


def key_rows(
    keys: Iterable[Mapping[str, Any]], accounts: Mapping[str, str], now: datetime
) -> list[KeyRow]:
    """Return API keys by name, those that are over last; accounts: names by id."""
    rows = [_key(each, accounts, now) for each in keys]
    return sorted(rows, key=lambda row: (row.is_over, row.name.lower()))


def _key(said: Mapping[str, Any], accounts: Mapping[str, str], now: datetime) -> KeyRow:
    ends, by = moment(said.get("expires_at")), said.get("created_by")
    return KeyRow(
        id=str(said["id"]),
        name=str(said.get("name") or said["id"]),
        role=str(said.get("role") or ""),
        may=", ".join(said.get("permissions") or ()),
        by=accounts.get(str(by), str(by)) if by else "the installation's token",
        made=ago(said.get("created_at"), now),
        ends=ahead(ends, now) if ends else "never",
        ends_at=clock(ends) if ends else "",
        is_over=ends is not None and ends <= now,
    )
