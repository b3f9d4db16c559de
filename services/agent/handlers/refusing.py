"""A refusal as the error its caller is told."""

from __future__ import annotations

from services.agent.decide.commands import Refusal
from services.chassis.errors import Conflict, Fenced, NotFound, QuartermasterError, Refused

ERRORS: dict[str, type[QuartermasterError]] = {
    "refused": Refused,
    "not_found": NotFound,
    "conflict": Conflict,
    "fenced": Fenced,
}


def error_of(refusal: Refusal) -> QuartermasterError:
    """Return the error; its numbers hold the code, the field and the evidence."""
    numbers = {"code": refusal.code, "field": refusal.at, **refusal.numbers}
    return ERRORS[refusal.kind](refusal.detail, **numbers)
