"""Launch templates from YAML: those we ship, and the operator's, which win by name."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from services.agent.decide.launch import Template
from services.chassis.errors import Refused

SHIPPED = Path(__file__).parent.parent / "templates.yaml"


def load_templates(*more: Path) -> dict[str, Template]:
    """Return the templates by name; Refused names the file and what is wrong in it."""
    templates: dict[str, Template] = {}
    for path in (SHIPPED, *more):
        templates |= _read(path)
    return templates


def _read(path: Path) -> dict[str, Template]:
    try:
        entries = yaml.safe_load(path.read_text("utf-8")) or {}
        return {
            name: Template.model_validate({"name": name, **entry})
            for name, entry in entries.items()
        }
    except (OSError, yaml.YAMLError, ValidationError, TypeError, AttributeError) as error:
        raise Refused(f"launch templates of {path}: {error}") from error
