"""The request trace: real requests read from their file, and the densest window of them."""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from deploy.demo.errors import DemoError

FILE = "requests_to_2024-12-01.csv"
MODELS = 6
WHEN, STATUS, EXEC, MODEL = (
    "gmt_create",
    "predict_status",
    "exec_time_seconds",
    "checkpoint_model_version_id",
)
DONE = "SUCCEED"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: who it is for, when it arrives after the first one, how long its work takes."""

    id: str
    model: str
    at_s: float
    exec_s: float


def load(folder: Path) -> list[Request]:
    """Return the requests of a trace's six commonest models in order of arrival.

    Raises DemoError naming file, line and field of what cannot be read.
    """
    file = folder / FILE
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            requests = list(read(lines, file.name))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DemoError(f"{file} cannot be read: {error}") from error
    return of_commonest(requests, MODELS)


def read(lines: Iterator[str], name: str) -> Iterator[Request]:
    """Yield the finished requests of a trace file, with seconds of the epoch as their `at_s`.

    A request that failed, or that took no time, did no work to be repeated. The id is the line.
    """
    rows = csv.DictReader(lines)
    missing = {WHEN, STATUS, EXEC, MODEL} - set(rows.fieldnames or ())
    if missing:
        raise DemoError(f"{name}, line 1: there is no field {', '.join(sorted(missing))}")
    for row in rows:
        place = f"{name}, line {rows.line_num}"
        if _field(row, STATUS, place) != DONE:
            continue
        exec_s = _seconds(row, place)
        if exec_s > 0:
            model = _field(row, MODEL, place)
            yield Request(f"line-{rows.line_num}", model, _moment(row, place), exec_s)


def of_commonest(requests: Sequence[Request], models: int) -> list[Request]:
    """Return the commonest models' requests in order of arrival; ties go to the first name."""
    counts = Counter(request.model for request in requests)
    names = sorted(counts, key=lambda name: (-counts[name], name))[:models]
    chosen = [request for request in requests if request.model in names]
    return sorted(chosen, key=lambda request: (request.at_s, request.id))


def densest(requests: Sequence[Request], count: int) -> list[Request]:
    """Return `count` consecutive arrivals that span the least time, the earliest of equals.

    requests: in order of arrival. The first one returned arrives at 0. Raises DemoError when
    there are fewer.
    """
    if count > len(requests):
        raise DemoError(
            f"requests={count} are more than the {len(requests)} of the trace's commonest models"
        )
    ends = range(count - 1, len(requests))
    last = min(ends, key=lambda end: requests[end].at_s - requests[end - count + 1].at_s)
    window = requests[last - count + 1 : last + 1]
    return [replace(request, at_s=request.at_s - window[0].at_s) for request in window]


def rounds(window: Sequence[Request], gap_s: float) -> Iterator[Request]:
    """Yield a window again and again, `gap_s` between rounds, each request with its own id."""
    length_s = window[-1].at_s + gap_s
    number = 0
    while True:
        for request in window:
            at_s = number * length_s + request.at_s
            yield replace(request, id=f"{request.id}.{number}", at_s=at_s)
        number += 1


def mean_exec_s(requests: Sequence[Request]) -> dict[str, float]:
    """Return each model's mean execution time (s), models in order of their names."""
    times: dict[str, list[float]] = {}
    for request in requests:
        times.setdefault(request.model, []).append(request.exec_s)
    return {model: fmean(times[model]) for model in sorted(times)}


def _field(row: Mapping[str, str | None], field: str, place: str) -> str:
    value = row[field]
    if not value:
        raise DemoError(f"{place}: {field} is empty")
    return value


def _seconds(row: Mapping[str, str | None], place: str) -> float:
    value = _field(row, EXEC, place)
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DemoError(f"{place}: {EXEC} is {value!r}, not a number of seconds")
    return seconds


def _moment(row: Mapping[str, str | None], place: str) -> float:
    value = _field(row, WHEN, place)
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise DemoError(f"{place}: {WHEN} is {value!r}, not a date and time") from None
