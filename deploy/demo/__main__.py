"""`python -m deploy.demo key=value...`: one run of the demo; the exit code says if all held."""

import sys
import time

import httpx2

from deploy.demo import fleet
from deploy.demo.arguments import Arguments, parse
from deploy.demo.errors import DemoError
from deploy.demo.load import source_of
from deploy.demo.report import Report
from deploy.demo.runner import Run
from deploy.demo.show import Show
from deploy.local.engines import EngineError
from deploy.local.platform import Plan, Platform, wipe
from deploy.local.running import only_run, until_stopped
from deploy.local.up import state_root
from services.chassis.errors import QuartermasterError

AGENTS = {"gpu-node-1": 4, "gpu-node-2": 4}
WRONG, MISUSED, INTERRUPTED = 1, 2, 130


def main() -> int:
    """Run the demo; 0: all held, 1: it did not, 2: a bad argument, 130: stopped before its end."""
    show, begun = Show(), time.monotonic()
    try:
        arguments = parse(sys.argv[1:])
        source = source_of(arguments)
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return MISUSED
    state = state_root() / "demo"
    try:
        with only_run(state):
            show.say(f"{len(source.window)} requests of {source.name}, speed {arguments.speed:g}")
            if not arguments.keep:
                wipe(state, show.say)
            plan = Plan(state, AGENTS, fleet.settings(arguments.speed))
            run = Run(arguments, source, Platform(plan, show.say), show, begun)
            report = until_stopped(run())
            return _finish(arguments, report, show)
    except (DemoError, EngineError, QuartermasterError, httpx2.HTTPError) as error:
        sys.stderr.write(f"the demo failed: {error}\nlogs are in {state / 'logs'}\n")
        return WRONG


def _finish(arguments: Arguments, report: Report | None, show: Show) -> int:
    if report is None:
        return INTERRUPTED
    file = arguments.report or state_root() / "demo" / "report.json"
    report.write(file)
    show.say(
        f"served {report.requests_served} of {report.requests_published}, lost"
        f" {report.requests_lost}; wait p50 {report.wait_p50_s} s, p95 {report.wait_p95_s} s"
        f" (trace seconds); {report.events_recorded} events, log"
        f" {'verified' if report.log_verified else 'NOT verified'}; report in {file}"
    )
    for sentence in report.wrong():
        sys.stderr.write(f"wrong: {sentence}\n")
    if report.wrong():
        return WRONG
    return INTERRUPTED if report.interrupted and arguments.requests else 0


if __name__ == "__main__":
    sys.exit(main())
