"""Decisions: what to raise and to resolve, what to send now, and what a sending is worth."""

from services.alerter.decide.raising import MEASURED, RULES, alerts, well_since
from services.alerter.decide.sending import (
    RETRIES_S,
    Cry,
    Letter,
    Sent,
    due,
    letter,
    message,
    reminder,
    settled,
)

__all__ = [
    "MEASURED",
    "RETRIES_S",
    "RULES",
    "Cry",
    "Letter",
    "Sent",
    "alerts",
    "due",
    "letter",
    "message",
    "reminder",
    "settled",
    "well_since",
]
