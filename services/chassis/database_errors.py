"""What PostgreSQL and its driver complain about, told in our tree of errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from asyncpg import exceptions

from services.chassis.errors import Bug, Conflict, QuartermasterError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLSTATE by its beginning, the longest first: whose fault it is. Source: PostgreSQL, appendix A.
_BY_SQLSTATE: tuple[tuple[str, type[QuartermasterError]], ...] = (
    ("23505", Conflict),  # unique_violation: somebody else was first
    ("23P01", Conflict),  # exclusion_violation
    ("25006", Unavailable),  # read_only_sql_transaction: we reached a standby
    ("25P03", Unavailable),  # idle_in_transaction_session_timeout: it dawdled, and was cut off
    ("55P03", Unavailable),  # lock_not_available
    ("57014", Unavailable),  # query_canceled: its time was up
    ("QM", Conflict),  # raised by our own functions
    ("08", Unavailable),  # connection exceptions
    ("22", Refused),  # data exceptions: a value the database cannot hold
    ("40", Unavailable),  # transaction rollback: deadlock, serialization
    ("53", Unavailable),  # insufficient resources: disk, memory, connections
    ("57", Unavailable),  # operator intervention: shutdown, still starting
    ("58", Unavailable),  # system error outside of PostgreSQL
)


_OF_A_LOST_ONE = ("released back to the pool", "another operation is in progress")


@contextmanager
def mapped() -> Iterator[None]:
    """Turn the driver's errors inside the block into ours; ours pass as they are."""
    try:
        yield
    except exceptions.PostgresError as error:
        raise _of_server(error) from error
    except exceptions.DataError as error:
        raise Refused(str(error)) from error
    except exceptions.InterfaceError as error:
        raise _of_driver(error) from error
    except (OSError, exceptions.InternalClientError) as error:  # TimeoutError is an OSError
        raise Unavailable(str(error) or "the database does not answer in time") from error


def _of_server(error: exceptions.PostgresError) -> QuartermasterError:
    sqlstate = getattr(error, "sqlstate", None) or ""
    ours = next((ours for start, ours in _BY_SQLSTATE if sqlstate.startswith(start)), Bug)
    constraint = getattr(error, "constraint_name", None)
    return ours(str(error), sqlstate=sqlstate, constraint=constraint)


def _of_driver(error: exceptions.InterfaceError) -> QuartermasterError:
    """Tell a lost connection from a misuse of the driver, which only the message tells apart.

    We use connections only while we have them, and one at a time: one that was given back was lost,
    not misused, and one on which "another operation is in progress" has heard the server's last
    word (FATAL) and waits for the end of it, for a moment, until it is closed.
    """
    text = str(error)
    lost = ("connection" in text and "closed" in text) or "pool is clos" in text
    lost = lost or any(words in text for words in _OF_A_LOST_ONE)
    return Unavailable(text) if lost else Bug(text)
