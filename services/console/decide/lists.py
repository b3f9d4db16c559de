"""Rows of the plain tables: environments, nodes, instances, strategies, alerts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of, page_of_subject
from services.console.decide.reasons import sentence
from services.console.decide.spoken import ago, clock, duration, lasted, quantity, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_INSTANCE_TONES = {
    "ready": "good", "requested": "busy", "stopping": "busy", "stopped": "quiet",
    "failed": "bad", "died": "bad",
}  # fmt: skip


@dataclass(frozen=True)
class EnvironmentRow:
    """An environment with what is in it."""

    id: str
    name: str
    description: str
    models: int
    nodes: int
    created: str

    @property
    def page(self) -> str:
        """Where more is said of it."""
        return page_of("environment", self.id) or "/"


@dataclass(frozen=True)
class InstanceRow:
    """An instance: where, since when, and why."""

    id: str
    page: str
    model: str
    model_page: str
    colour: int | None
    node: str
    node_id: str
    node_page: str
    gpu_index: int | None
    gpu_page: str | None
    state: str
    tone: str
    since: str
    lasted: str
    load: str
    because: str
    ended: str
    is_active: bool
    pinned: bool
    pid: int | None


@dataclass(frozen=True)
class StrategyRow:
    """A strategy and how it is set."""

    id: str
    name: str
    policy: str
    order: int
    is_active: bool
    description: str
    parameters: Sequence[tuple[str, str]]
    updated: str

    @property
    def page(self) -> str:
        """Where more is said of it."""
        return page_of("strategy", self.id) or "/"


@dataclass(frozen=True)
class AlertRow:
    """An alert: what, since when, and whether it is over."""

    id: str
    summary: str
    rule: str
    rule_id: str
    severity: str
    tone: str
    is_open: bool
    raised: str
    raised_at: str
    lasted: str
    subject: str
    subject_page: str | None
    position: int
    deliveries: Sequence[tuple[str, str]]


def environment_rows(
    environments: Iterable[Mapping[str, Any]],
    models: Iterable[Mapping[str, Any]],
    nodes: Iterable[Mapping[str, Any]],
    now: datetime,
) -> list[EnvironmentRow]:
    """Return environments, with how many models and nodes each has."""
    of_models = Counter(str(each.get("environment_id")) for each in models)
    of_nodes = Counter(str(each.get("environment_id")) for each in nodes)
    return [
        EnvironmentRow(
            id=str(each["id"]),
            name=str(each.get("name") or each["id"]),
            description=str(each.get("description") or ""),
            models=of_models[str(each["id"])],
            nodes=of_nodes[str(each["id"])],
            created=ago(each.get("created_at"), now),
        )
        for each in environments
    ]


def instance_rows(
    instances: Iterable[Mapping[str, Any]],
    nodes: Mapping[str, str],
    of_model: Mapping[str, int],
    now: datetime,
) -> list[InstanceRow]:
    """Return instances, those that run first, the newest of each first; nodes: names by id."""
    rows = [_instance(each, nodes, of_model, now) for each in instances]
    return sorted(rows, key=lambda row: not row.is_active)


def strategy_rows(strategies: Iterable[Mapping[str, Any]], now: datetime) -> list[StrategyRow]:
    """Return strategies in the order in which they are applied."""
    rows = [
        StrategyRow(
            id=str(each["id"]),
            name=str(each.get("name") or each["id"]),
            policy=str(each.get("policy") or ""),
            order=int(each.get("order") or 0),
            is_active=bool(each.get("active")),
            description=str(each.get("description") or ""),
            parameters=[
                (words(name.removesuffix("_s")), quantity(name, value))
                for name, value in sorted((each.get("parameters") or {}).items())
            ],
            updated=ago(each.get("updated_at"), now),
        )
        for each in strategies
    ]
    return sorted(rows, key=lambda row: (row.order, row.name))


def alert_rows(alerts: Iterable[Mapping[str, Any]], now: datetime) -> list[AlertRow]:
    """Return alerts, open ones first, the newest of each first."""
    ordered = sorted(alerts, key=lambda each: str(each.get("raised_at")), reverse=True)
    return sorted((_alert(each, now) for each in ordered), key=lambda row: not row.is_open)


def _instance(
    said: Mapping[str, Any], nodes: Mapping[str, str], of_model: Mapping[str, int], now: datetime
) -> InstanceRow:
    state, node_id = str(said.get("state")), str(said.get("node_id") or "")
    began, ended = said.get("started_at") or said.get("requested_at"), said.get("ended_at")
    gpu = said.get("gpu_uuid")
    model_id = str(said.get("model_id") or "")
    return InstanceRow(
        id=str(said["instance_id"]),
        page=page_of("instance", str(said["instance_id"])) or "/",
        model=str(said.get("model_name") or model_id),
        model_page=page_of("model", model_id) or "/",
        colour=of_model.get(model_id),
        node=nodes.get(node_id, node_id),
        node_id=node_id,
        node_page=page_of("node", node_id) or "/",
        gpu_index=said.get("gpu_index"),
        gpu_page=page_of("gpu", str(gpu)) if gpu else None,
        state=words(state),
        tone=_INSTANCE_TONES.get(state, "quiet"),
        since=clock(began, now),
        lasted=lasted(began, ended, now),
        load=duration(said.get("load_s")),
        because=sentence(said.get("reason")),
        ended=_ended(said),
        is_active=state in ("requested", "ready", "stopping"),
        pinned=bool(said.get("pinned")),
        pid=said.get("pid"),
    )


def _ended(said: Mapping[str, Any]) -> str:
    if said.get("error"):
        return str(said["error"]).splitlines()[0][:200]
    return sentence(said.get("stop_reason")) if isinstance(said.get("stop_reason"), dict) else ""


def _alert(said: Mapping[str, Any], now: datetime) -> AlertRow:
    subject, is_open = str(said.get("subject") or ""), bool(said.get("open"))
    severity = str(said.get("severity") or "warning")
    tone = ("bad" if severity == "critical" else "warn") if is_open else "quiet"
    return AlertRow(
        id=str(said["alert_id"]),
        summary=str(said.get("summary") or said["alert_id"]),
        rule=words(str(said.get("rule") or "")),
        rule_id=str(said.get("rule") or ""),
        severity=severity,
        tone=tone,
        is_open=is_open,
        raised=ago(said.get("raised_at"), now),
        raised_at=clock(said.get("raised_at"), now),
        lasted=lasted(said.get("raised_at"), said.get("resolved_at"), now),
        subject=subject,
        subject_page=page_of_subject(subject),
        position=int(said.get("raised_position") or 0),
        deliveries=[
            (str(hook), words(str(each.get("state") if isinstance(each, dict) else each)))
            for hook, each in (said.get("deliveries") or {}).items()
        ],
    )
