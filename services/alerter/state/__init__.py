"""State: what wakes someone, which alerts are open, and what webhooks have not been told yet."""

from services.alerter.state import of_alerts, of_fleet, of_instances
from services.alerter.state.folded import State
from services.alerter.state.of_alerts import GONE
from services.alerter.state.values import (
    Condition,
    Key,
    Lag,
    Limits,
    Opened,
    Over,
    Pending,
    Silence,
    Since,
    Webhook,
)
from services.alerter.state.view import View

__all__ = [
    "GONE",
    "Condition",
    "Key",
    "Lag",
    "Limits",
    "Opened",
    "Over",
    "Pending",
    "Silence",
    "Since",
    "State",
    "View",
    "Webhook",
    "of_alerts",
    "of_fleet",
    "of_instances",
]
