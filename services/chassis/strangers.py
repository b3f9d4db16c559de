"""Whom to believe on `qm.recorded`: the journal, by the word of the broker, and nobody else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import structlog
from opentelemetry import metrics

if TYPE_CHECKING:
    from services.chassis.ports import Delivery

log = structlog.get_logger(__name__)

JOURNAL = "journal"
_DROPPED = metrics.get_meter("quartermaster.chassis").create_counter(
    "quartermaster.chassis.strangers",
    description="Runs and beacons dropped because the journal did not sign them",
)


class Strangers:
    """Tells the journal's runs and beacons from others', and counts those by their sender.

    The broker lets a user sign with its own name only, so this holds although rights are wrong.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self.dropped: Counter[str] = Counter()

    def believes(self, delivery: Delivery) -> bool:
        """Return whether the journal sent it; what it did not send is counted and logged."""
        if delivery.user_id == JOURNAL:
            return True
        sender = delivery.user_id or ""
        self.dropped[sender] += 1
        _DROPPED.add(1, {"service": self._service, "sender": sender})
        count = self.dropped[sender]
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th...: a flood must not fill the logs
            log.warning(
                "dropped what the journal did not sign",
                service=self._service,
                sender=sender,
                key=delivery.routing_key,
                count=count,
            )
        return False
