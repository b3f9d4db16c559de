"""/alerts/rules, /alerts/silences and one alert: what is worth one, and of what nobody is told."""

from datetime import datetime
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from contracts.alerts import RULES
from contracts.http.alerts import NewSilence, RuleChanges
from contracts.types import AlertId, Id
from services.chassis.errors import NotFound
from services.chassis.repeating import Repeated
from services.gateway.decide.alerting import BeginSilence, ConfigureRule, LiftSilence, rule_view
from services.gateway.decide.views import view
from services.gateway.routes.access import ADMIN, OPERATE, READ
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.reading import forward, least_position

router = APIRouter(prefix="/alerts", tags=["alerts"], route_class=Repeated)


@router.get("/rules", dependencies=[READ])
async def rules(request: Request, doors: DoorsHere) -> Response:
    """Return every alert rule with its limits as they are now, their bounds and defaults."""
    state = await doors.known(least_position(request, doors))
    items = [rule_view(state, rule) for rule in sorted(RULES)]
    return doors.envelopes.around({"items": items, "next_cursor": None})


@router.get("/rules/{rule}", dependencies=[READ])
async def rule(rule: Id, request: Request, doors: DoorsHere) -> Response:
    """Return one alert rule."""
    if rule not in RULES:
        raise NotFound(f"there is no alert rule {rule}")
    state = await doors.known(least_position(request, doors))
    return doors.envelopes.around(rule_view(state, rule))


@router.put("/rules/{rule}", dependencies=[ADMIN])
@router.patch("/rules/{rule}", dependencies=[ADMIN])
async def configure(rule: Id, changes: RuleChanges, asked: AskedHere, doors: DoorsHere) -> Response:
    """Change a rule's limits, or switch it on or off; it holds at once, for open alerts too."""
    return await doors.carry_out(ConfigureRule(rule, changes), asked)


@router.get("/silences", dependencies=[READ])
async def silences(request: Request, doors: DoorsHere) -> Response:
    """Return the silences that last, by their ids."""
    state = await doors.known(least_position(request, doors))
    now = doors.envelopes.now()
    items = [
        view("silence", id_, each)
        for id_, each in sorted(state.entities["silence"].items())
        if datetime.fromisoformat(each.data["until"]) > now
    ]
    return doors.envelopes.around({"items": items, "next_cursor": None})


@router.post("/silences", dependencies=[OPERATE], status_code=201)
async def begin(new: NewSilence, asked: AskedHere, doors: DoorsHere) -> Response:
    """Tell nobody of these alerts until then; they are raised, and shown here, all the same."""
    return await doors.carry_out(BeginSilence(new), asked)


@router.delete("/silences/{silence_id}", dependencies=[OPERATE])
async def lift(silence_id: Id, asked: AskedHere, doors: DoorsHere) -> Response:
    """Lift a silence: what is open still is told at once."""
    return await doors.carry_out(LiftSilence(silence_id), asked)


@router.get("/{alert_id:path}", dependencies=[READ])
async def alert(alert_id: AlertId, request: Request, doors: DoorsHere) -> Response:
    """Return one alert, open or over, and whom it reached."""
    return await forward(request, doors, f"/alerts/{quote(alert_id, safe=':')}")
