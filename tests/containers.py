"""Compose's way with variables, and whether something here can build images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE = os.environ.get("QM_TEST_BASE_IMAGE", "docker.io/library/python:3.11-slim-bookworm")
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Return a value of the compose file as a container would get it."""

    def instead(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        if name in values:
            return values[name]
        assert how == "-", f"{name} is asked for and not given"
        return str(rest)

    return _VARIABLE.sub(instead, text)


@cache
def builder() -> str | None:
    """Return what builds images here: an engine that answers and has the base image already."""
    for name in ("docker", "podman"):
        if shutil.which(name) and _says_yes(name, "image", "inspect", BASE):
            return name
    return None


def _says_yes(*command: str) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
