"""How long the server lets each role wait, work or dawdle before it ends that by itself.

Our own time-outs end a call; these end what a process leaves behind that is frozen or cut off: a
statement nobody reads, a lock nobody gives back, a transaction that keeps old rows from being
cleaned up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0 is no limit."""

    statement_s: float = 0
    lock_s: float = 0
    idle_in_transaction_s: float = 0

    def as_settings(self) -> dict[str, str]:
        """Return them as PostgreSQL takes them at a connection's start."""
        return {
            "statement_timeout": _ms(self.statement_s),
            "lock_timeout": _ms(self.lock_s),
            "idle_in_transaction_session_timeout": _ms(self.idle_in_transaction_s),
        }


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


# Whoever is not named here is a tool that runs as the owner. Migrations wait for each other on an
# advisory lock, which lock_timeout counts too, and building an index takes what it takes.
NONE = Limits()

BY_SERVICE = {
    # People wait for these: one row at a time, by key, in transactions of a few statements.
    "gateway": Limits(statement_s=10, lock_s=5, idle_in_transaction_s=15),
    "vault": Limits(statement_s=10, lock_s=5, idle_in_transaction_s=15),
    # Its own calls end after 10 s. It waits for a lock only while a rebuilt table is swapped in.
    "query": Limits(statement_s=12, lock_s=5, idle_in_transaction_s=15),
    # Appends set a shorter lock_timeout of their own. Statements may be long: a backup is one COPY
    # of the whole log, for which the client waits an hour.
    "journal": Limits(statement_s=3600, lock_s=10, idle_in_transaction_s=300),
    # A rebuild builds indexes and compares whole tables in one statement, and folds within its
    # transaction; a batch that waits for another projector's must outlast that one's commit.
    "projector": Limits(statement_s=3600, lock_s=30, idle_in_transaction_s=300),
}


def limits_of(service: str) -> Limits:
    """Return a service's limits."""
    return BY_SERVICE.get(service, NONE)
