"""Which environment variables may name a secret's file."""

from __future__ import annotations

import re

NAME = re.compile(r"^[A-Z][A-Z0-9_]*$")
LOADERS = ("LD_", "PYTHON", "CUDA_", "DYLD_", "BASH_")
OURS = frozenset(
    {
        "PATH",
        "HOME",
        "SHELL",
        "ENV",
        "IFS",
        "QM_NODE_ID",
        "QM_INSTANCE_ID",
        "QM_MODEL",
        "QM_READY_FILE",
    }
)


def wrong_name(variable: str) -> str | None:
    """Return what is wrong with a name, or None: it must not change how programs are loaded."""
    if NAME.match(variable) is None:
        return "must be capital letters, digits and underscores"
    if variable in OURS or variable.startswith(LOADERS):
        return "is not for secrets"
    return None
