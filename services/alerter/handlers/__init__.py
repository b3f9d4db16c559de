"""Handlers: judge and send while leading, ask who is behind, cry out when nothing is heard."""

from services.alerter.handlers.alerting import Alerter, Post
from services.alerter.handlers.gauge import Ears, Gauge
from services.alerter.handlers.ports import Pace
from services.alerter.handlers.watchman import Watchman

__all__ = ["Alerter", "Ears", "Gauge", "Pace", "Post", "Watchman"]
