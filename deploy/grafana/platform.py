"""The dashboard of the platform itself: is it well, does it keep up, how fast is it."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana import metrics as m
from deploy.grafana.panels import Panels, board, now, over_time

WELL = "{{service_name}}"


def dashboard() -> Dashboard:
    """Return it."""
    made = board("quartermaster-platform", "Quartermaster: platform", str(__doc__))
    made = made.with_row(Row("Is it well"))
    for panel in _health():
        made = made.with_panel(panel)
    made = made.with_row(Row("The log"))
    for panel in _log():
        made = made.with_panel(panel)
    made = made.with_row(Row("The door"))
    for panel in _door():
        made = made.with_panel(panel)
    return made


def _health() -> Panels:
    return [
        now(
            "Services that say they are well",
            "1: some process of the service says that all its parts are well.",
            "none",
            (m.HEALTHY.most(m.SERVICE), WELL),
        ),
        over_time(
            "Events behind the log",
            "What each service has not folded yet. It decides or shows the past by that much.",
            "short",
            (m.LAG.most(m.FOLLOWER), "{{quartermaster_follower}}"),
        ),
        over_time(
            "Events not yet published",
            "Recorded and not yet distributed; for long, it is a broker in trouble.",
            "short",
            (m.PUBLISH_LAG.most(), "behind"),
        ),
    ]


def _log() -> Panels:
    return [
        over_time(
            "Append",
            "How long one append takes. All proposals wait for it.",
            "s",
            (m.APPEND.quantile(0.5), "half"),
            (m.APPEND.quantile(0.99), "99 of 100"),
        ),
        over_time(
            "Events in one append",
            "Group commit: the busier, the more at once.",
            "short",
            (m.APPENDED.quantile(0.5), "half"),
            (m.APPENDED.quantile(0.99), "99 of 100"),
        ),
        over_time(
            "Proposals by verdict",
            "What the journal recorded, and what it refused and why.",
            "ops",
            (m.JUDGED.rate(m.VERDICT), "{{quartermaster_verdict}}"),
        ),
        over_time(
            "Time to decide",
            "One pass of the scheduler over the whole fleet.",
            "s",
            (m.DECISION.quantile(0.5), "half"),
            (m.DECISION.quantile(0.99), "99 of 100"),
        ),
        over_time(
            "Decisions by verdict",
            "Conflicts are normal: the world moved, and it decides again.",
            "ops",
            (m.DECIDED.rate(m.VERDICT), "{{quartermaster_verdict}}"),
        ),
    ]


def _door() -> Panels:
    gateway = '{service_name="gateway"}'
    return [
        over_time(
            "Requests",
            "By answer.",
            "reqps",
            (m.HTTP.rate(m.STATUS, where=gateway), "{{http_response_status_code}}"),
        ),
        over_time(
            "Time to answer",
            "99 of 100 requests of each route are faster.",
            "s",
            (m.HTTP.quantile(0.99, m.ROUTE, where=gateway), "{{http_route}}"),
        ),
        over_time(
            "Time to answer, inside",
            "99 of 100 reads of the read models, and commands to agents, are faster.",
            "s",
            (
                m.HTTP.quantile(0.99, m.SERVICE, where='{service_name=~"query|agent"}'),
                "{{service_name}}",
            ),
        ),
    ]
