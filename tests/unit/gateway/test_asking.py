"""What the journal answers, told as ours: whose fault something is does not change on the way."""

from __future__ import annotations

import pytest

from services.chassis.errors import Bug, Conflict, NotFound, Refused, Unavailable
from services.gateway.adapters.journal import JournalOverBus


class Says:
    """A bus whose journal has one answer."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    async def ask(self, exchange, key, body, *, timeout_s):
        return self.headers, b"{}"


@pytest.mark.parametrize(
    ("headers", "kind", "told"),
    [
        ({"error": "kind: is unknown", "code": "refused"}, Refused, ("is unknown", "kind")),
        ({"error": "kind: is unknown"}, Refused, ("is unknown", "kind")),
        ({"error": "job: there is none", "code": "not_found"}, NotFound, ("there is none", None)),
        ({"error": "it moved", "code": "conflict"}, Conflict, ("it moved", None)),
        ({"error": "later", "code": "unavailable"}, Unavailable, ("later", None)),
        ({"error": "later", "code": "refused", "busy": "1"}, Unavailable, ("later", None)),
        ({"error": "it broke", "code": "bug"}, Bug, ("it broke", None)),
    ],
)
async def test_whose_fault_it_is_does_not_change_on_the_way(headers, kind, told):
    with pytest.raises(kind) as refused:
        await JournalOverBus(Says(headers)).jobs()
    assert type(refused.value) is kind
    assert (refused.value.detail, refused.value.numbers.get("field")) == told
