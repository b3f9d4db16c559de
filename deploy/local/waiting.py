"""Waiting for something that should become true soon."""

import time
from collections.abc import Callable


def holds_within(seconds: float, condition: Callable[[], bool], pause_s: float = 0.1) -> bool:
    """Tell whether a condition becomes true in time; asked at once, then again and again."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(pause_s)
    return True
