"""The values that the alerter's state is made of: conditions, alerts, messages, silences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from contracts.envelope import Cause, Event
from contracts.events import alert
from contracts.events.alert import MessageType, WebhookKind
from contracts.types import Scalar, SecretRef, Severity

E = TypeVar("E", bound=Event)
Key = tuple[str, str]  # a rule and its subject


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the growth rule looks back, and how long all must be over before it is resolved.

    What else a rule goes by is in the log: see `State.limit`.
    """

    growth_recent_s: float = 300.0
    growth_before_s: float = 1800.0
    calm_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Lag:
    """What the journal said of who is behind the log; it is in no log itself.

    read_models_behind_s: None where nobody projects. stuck: nothing was published since the last
    time it said so, though something waits.
    """

    head: int
    published: int
    published_behind_s: float
    read_models_behind_s: float | None
    parked: int
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that should wake someone; `position` is that of the event it began with.

    cause: that event.
    """

    rule: str
    subject: str
    severity: Severity
    summary: str
    position: int
    evidence: Mapping[str, Scalar] = field(default_factory=dict)
    cause: Cause | None = None

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.rule, self.subject


@dataclass(frozen=True, slots=True)
class Since(Generic[E]):
    """An event that holds until another one ends it."""

    event: E
    at: datetime
    cause: Cause

    @property
    def position(self) -> int:
        """Return the position it holds since."""
        return self.cause.position


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts go to, and what their signature is made with, or who is let in there."""

    url: str
    secret: SecretRef | None
    kind: WebhookKind = "standard"


@dataclass(frozen=True, slots=True)
class Over:
    """When what an alert is about ended, and what ended it."""

    at: datetime
    cause: Cause


@dataclass(frozen=True, slots=True)
class Silence:
    """Of which alerts nobody is told until when; None: of every rule, about everything."""

    until: datetime
    rule: str | None
    subject: str | None

    def covers(self, key: Key, at: datetime) -> bool:
        """Return whether nobody is told of such an alert at this moment."""
        rule, subject = key
        return at < self.until and self.rule in (None, rule) and self.subject in (None, subject)


@dataclass(frozen=True, slots=True)
class Opened:
    """An alert as it was raised, when, and by which event; None for one that is in no log."""

    event: alert.AlertRaised
    at: datetime
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that a webhook has not taken yet, and how often that was tried.

    about: the alert it tells of, as it was raised; None for a test.
    """

    message_id: str
    cause: Cause
    webhook_id: str
    alert_id: str
    subject: str
    type: MessageType
    at: datetime
    data: Mapping[str, Any]
    about: Opened | None = None
    failures: int = 0
    failed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Which message for which webhook."""
        return self.message_id, self.webhook_id

    @property
    def of(self) -> Key | None:
        """Of which rule's alert it is and about what; None for a test."""
        return (self.about.event.rule, self.about.event.subject) if self.about else None
