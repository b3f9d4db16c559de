"""The one error of this package, and the one way it talks to people."""

import sys


class EngineError(RuntimeError):
    """An engine could not be started or stopped; the message says why and what to do next."""


def say(line: str) -> None:
    """Tell the person at the terminal what takes so long."""
    sys.stderr.write(f"quartermaster: {line}\n")
    sys.stderr.flush()
