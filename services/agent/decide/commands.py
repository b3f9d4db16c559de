"""Accept or refuse a start, a stop, a kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from contracts.http.agent import Fence, KillCommand, StartCommand, StopCommand
from contracts.types import Scalar
from services.agent.decide.launch import BadParameterError, Template, values_of
from services.agent.decide.secret_names import wrong_name
from services.agent.state import Instance, State, older


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, and why: whose fault (`kind`), a code, a sentence, the field it is `at`, the evidence."""

    kind: Literal["refused", "conflict", "fenced", "not_found"]
    code: str
    detail: str
    at: str | None = None
    numbers: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """The command was obeyed before: this is how the instance is, None when it never came."""

    instance: Instance | None


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a worker from this template with these checked values."""

    template: Template
    values: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class End:
    """End this worker."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Offer:
    """What the node can launch: templates by name, and the models it serves ('*' for any)."""

    templates: Mapping[str, Template]
    models: frozenset[str]


def on_start(
    state: State, command: StartCommand, offer: Offer, now: datetime
) -> Begin | Known | Refusal:
    """Return what a start comes to; the same instance_id again is answered, not judged again."""
    if (known := state.instances.get(command.instance_id)) is not None:
        return Known(known)
    return (
        _too_late(command.expires_at, now)
        or _wrong_boot(state, command)
        or _wrong_gpu(state, command)
        or _outdated(command.fence, state.fences.get(command.gpu_uuid), command.gpu_uuid)
        or _outdated(
            command.fence, state.stopped_unseen.get(command.instance_id), command.instance_id
        )
        or _held(state, command)
        or _wrong_secret(command)
        or _launch(command, offer)
    )


def on_stop(
    state: State, instance_id: str, command: StopCommand, now: datetime
) -> End | Known | Refusal:
    """Return what a stop comes to; what has ended, or never was, is a confirmed death."""
    instance = state.instances.get(instance_id)
    if instance is None or not instance.live:
        return Known(instance)
    return (
        _outdated(command.fence, state.fences.get(instance.gpu_uuid), instance.gpu_uuid)
        or _too_late(command.expires_at, now)
        or End(instance)
    )


def on_kill(state: State, command: KillCommand, now: datetime) -> Refusal | None:
    """Return why a kill is refused, or None; kills of one leader may overtake each other."""
    if command.fence.epoch < state.kill_epoch:
        seen = Fence(epoch=state.kill_epoch, position=0)
        return _outdated(command.fence, seen, "processes")
    return _too_late(command.expires_at, now)


def _too_late(expires_at: datetime | None, now: datetime) -> Refusal | None:
    if expires_at is None or now <= expires_at:
        return None
    late_s = round((now - expires_at).total_seconds(), 3)
    return Refusal(
        "conflict",
        "expired",
        f"the command expired {late_s} s ago",
        "expires_at",
        {"late_s": late_s},
    )


def _wrong_boot(state: State, command: StartCommand) -> Refusal | None:
    if command.boot_id == state.boot_id:
        return None
    detail = f"the node has boot id {state.boot_id}, not {command.boot_id}"
    return Refusal("conflict", "other_boot", detail, "boot_id", {"boot_id": state.boot_id})


def _wrong_gpu(state: State, command: StartCommand) -> Refusal | None:
    if command.gpu_uuid in state.gpus:
        return None
    detail = f"the node has no GPU {command.gpu_uuid}"
    return Refusal("refused", "unknown_gpu", detail, "gpu_uuid", {"gpus": len(state.gpus)})


def _outdated(fence: Fence, seen: Fence | None, subject: str) -> Refusal | None:
    if seen is None or not older(fence, seen):
        return None
    detail = (
        f"{subject} has seen a newer command: epoch {seen.epoch} position {seen.position}"
        f" is past epoch {fence.epoch} position {fence.position}"
    )
    numbers = {"seen_epoch": seen.epoch, "seen_position": seen.position}
    return Refusal("fenced", "fenced", detail, "fence", numbers)


def _held(state: State, command: StartCommand) -> Refusal | None:
    if (holder := state.holder(command.gpu_uuid)) is None:
        return None
    detail = f"{command.gpu_uuid} is held by {holder.instance_id}, which is {holder.state}"
    return Refusal("conflict", "held", detail, "gpu_uuid", {"holder": holder.instance_id})


def _wrong_secret(command: StartCommand) -> Refusal | None:
    for place, secret in enumerate(command.secret_files):
        if (problem := wrong_name(secret.variable)) is not None:
            name = f"secret_files.{place}.variable"
            return Refusal("refused", "bad_variable", f"{secret.variable} {problem}", name)
    return None


def _launch(command: StartCommand, offer: Offer) -> Begin | Refusal:
    if "*" not in offer.models and command.model_name not in offer.models:
        detail = f"the node does not serve {command.model_name}"
        return Refusal("refused", "unsupported_model", detail, "model_name")
    if command.model_name.startswith("-"):  # it would be read as an option
        return Refusal("refused", "bad_model", "it must not begin with a hyphen", "model_name")
    template = offer.templates.get(command.launch.template)
    if template is None:
        detail = f"there is no template {command.launch.template}"
        return Refusal("refused", "unknown_template", detail, "launch.template")
    try:
        return Begin(template, values_of(template, command.launch.parameters))
    except BadParameterError as error:
        where = f"launch.parameters.{error.name}"
        return Refusal("refused", "bad_parameter", f"{error.name} {error.problem}", where)
