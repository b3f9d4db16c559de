"""Fingerprints of projections: of what their code says, whatever its comments and line ends."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from typing import TYPE_CHECKING

from services.projector.state import FOLDING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from services.projector.state import Model

_ROOM = "services.projector.projections"


def fingerprints(models: Iterable[Model]) -> dict[str, str]:
    """Return the fingerprint of each read model by its name."""
    return {model.name: _fingerprint(model) for model in models}


def _fingerprint(model: Model) -> str:
    names = {reaction.__module__ for reaction in model.on.values()}
    modules = sorted({name for name in names if name.startswith(_ROOM)} | {_defining(model)})
    sources = [_said(inspect.getsource(sys.modules[name])) for name in modules]
    return fingerprint_of(*sources)


def fingerprint_of(*sources: str) -> str:
    """Return the fingerprint of some sources, folded as batches are folded today."""
    digest = hashlib.sha256(f"folding {FOLDING}".encode())
    for source in sources:
        digest.update(b"\0" + _said(source).encode())
    return digest.hexdigest()[:32]


def _defining(model: Model) -> str:
    """Return the name of the module whose read model this is."""
    return next(name for name, module in _room() if _has(module, model))


def _room() -> list[tuple[str, ModuleType]]:
    found = [(name, module) for name, module in sys.modules.items() if name.startswith(f"{_ROOM}.")]
    return sorted(found, key=lambda each: each[0])


def _has(module: ModuleType, model: Model) -> bool:
    return any(value is model for value in vars(module).values())


def _said(source: str) -> str:
    """Return a source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _has_docstring(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None
