"""Launch templates: typed parameters in, an argument list out; never a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.types import Name, Scalar, Seconds

PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What the agent itself fills in; a template cannot declare parameters of these names.
GIVEN = frozenset(
    {"port", "host", "model", "gpu_index", "gpu_uuid", "instance_id", "ready_file", "python"}
)


class BadParameterError(ValueError):
    """A parameter is unknown, missing, of the wrong type or out of its bounds."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name} {problem}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parameter(_Part):
    """A value a start may choose: its type, default and bounds; without a default it is required.

    min, max: of a number, or of a string's length.
    """

    type: Literal["string", "integer", "number", "boolean"]
    default: Scalar = None
    optional: bool = False
    min: float | None = None
    max: float | None = None
    choices: tuple[Scalar, ...] = ()
    pattern: str | None = None


class When(_Part):
    """Arguments that are there only when a parameter has a value that is not false."""

    when: str
    argv: tuple[str, ...]


class HttpReady(_Part):
    """Ready when `path` on the worker's port answers 200, and lists the model if so asked."""

    kind: Literal["http"]
    port_parameter: str = "port"
    path: str = Field(default="/health", pattern=r"^/")
    model_listed: bool = False


class FileReady(_Part):
    """Ready when the worker has made the file that $QM_READY_FILE names."""

    kind: Literal["file"]


class LineReady(_Part):
    """Ready when the worker's output holds this text."""

    kind: Literal["line"]
    text: str = Field(min_length=1, max_length=200)


class Template(_Part):
    """How one kind of worker is started, known to be ready, and stopped."""

    name: Name
    description: str = ""
    argv: tuple[str | When, ...] = Field(min_length=1)
    parameters: dict[str, Parameter] = {}
    ready: HttpReady | FileReady | LineReady = Field(discriminator="kind")
    ready_timeout_s: Seconds = 600.0
    stop_grace_s: Seconds = 10.0

    @model_validator(mode="after")
    def _every_placeholder_is_known(self) -> Self:
        if clash := GIVEN & self.parameters.keys():
            raise ValueError(f"{sorted(clash)} are filled in by the agent")
        known = GIVEN | self.parameters.keys()
        if unknown := sorted(_names(self.argv) - known):
            raise ValueError(f"{unknown} are not parameters of template {self.name}")
        if isinstance(self.ready, HttpReady) and self.ready.port_parameter not in known:
            raise ValueError(f"{self.ready.port_parameter} is not a parameter of {self.name}")
        return self

    @property
    def wants_port(self) -> bool:
        """Whether the agent must find a free port for it."""
        ours = isinstance(self.ready, HttpReady) and self.ready.port_parameter == "port"
        return ours or "port" in _names(self.argv)


def values_of(template: Template, chosen: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a checked value for every parameter; raises BadParameterError."""
    for name in chosen:
        if name not in template.parameters:
            raise BadParameterError(name, f"is not a parameter of template {template.name}")
    return {name: _value(name, spec, chosen) for name, spec in template.parameters.items()}


def arguments(template: Template, values: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Return the argument list; `values` must hold every placeholder that is used."""
    argv: list[str] = []
    for part in template.argv:
        if isinstance(part, str):
            argv.append(_fill(part, values))
        elif values[part.when] is not None and values[part.when] is not False:
            argv.extend(_fill(argument, values) for argument in part.argv)
    return tuple(argv)


def _names(argv: tuple[str | When, ...]) -> set[str]:
    names: set[str] = set()
    for part in argv:
        if isinstance(part, When):
            names.add(part.when)
        for argument in (part,) if isinstance(part, str) else part.argv:
            names.update(PLACEHOLDER.findall(argument))
    return names


def _fill(argument: str, values: Mapping[str, Scalar]) -> str:
    return PLACEHOLDER.sub(lambda match: _text(values[match[1]]), argument)


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(name: str, spec: Parameter, chosen: Mapping[str, Scalar]) -> Scalar:
    value = chosen.get(name, spec.default)
    if value is None:
        if spec.optional:
            return None
        raise BadParameterError(name, "is required")
    value = _typed(name, spec, value)
    _bounded(name, spec, value)
    if spec.choices and value not in spec.choices:
        raise BadParameterError(name, f"must be one of {', '.join(map(str, spec.choices))}")
    return value


def _typed(name: str, spec: Parameter, value: Scalar) -> Scalar:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    if isinstance(value, bool) is not (spec.type == "boolean"):
        raise BadParameterError(name, f"must be of type {spec.type}")
    if not isinstance(value, kinds[spec.type]):
        raise BadParameterError(name, f"must be of type {spec.type}")
    return _safe(name, spec, value) if isinstance(value, str) else value


def _safe(name: str, spec: Parameter, value: str) -> str:
    if CONTROL.search(value):
        raise BadParameterError(name, "must not hold control characters")
    if value.startswith("-"):  # it would be read as an option of the worker's command line
        raise BadParameterError(name, "must not begin with a hyphen")
    if spec.pattern is not None and re.fullmatch(spec.pattern, value) is None:
        raise BadParameterError(name, f"must match {spec.pattern}")
    return value


def _bounded(name: str, spec: Parameter, value: Scalar) -> None:
    size = len(value) if isinstance(value, str) else value
    if size is None or isinstance(size, bool):
        return
    unit = " characters long" if isinstance(value, str) else ""
    if not abs(size) < float("inf"):
        raise BadParameterError(name, "must be finite")
    if spec.min is not None and size < spec.min:
        raise BadParameterError(name, f"must be at least {spec.min:g}{unit}")
    if spec.max is not None and size > spec.max:
        raise BadParameterError(name, f"must be at most {spec.max:g}{unit}")
