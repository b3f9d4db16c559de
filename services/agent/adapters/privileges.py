"""What the agent gives up for itself and for all it starts."""

from __future__ import annotations

import ctypes
import os

from services.chassis.errors import Unavailable

PR_SET_NO_NEW_PRIVS = 38


def renounce_privileges() -> bool:
    """Make sure that no setuid program started below us gains rights; False where unknown.

    The flag is inherited by every thread and process made later, so it must be set before any.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except AttributeError:  # not Linux
        return False
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise Unavailable(f"prctl refused: {os.strerror(ctypes.get_errno())}")
    return True
