"""How answers about the log read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KILO = 1024


def verify_line(report: Mapping[str, Any]) -> str:
    """Return what verification found, in a line or two."""
    if report["ok"]:
        sealed = f", {report['seals']} days sealed" if report["seals"] else ""
        said = f"sound: {report['checked']} events, positions 1 to {report['head']}{sealed}"
        if report["hash"]:
            said += f"\nthe facts' chain ends at {report['hash']}"
    elif report["position"] is None:
        said = f"NOT SOUND: {report['problem']}"
    else:
        said = f"NOT SOUND at position {report['position']}: {report['problem']}"
    return "\n".join((said, *(f"rewound: {rewind}" for rewind in report["rewinds"])))


def compared_line(ended: Mapping[str, Any]) -> str:
    """Return how the read models stood up to being made anew."""
    lines = [
        f"NOT WHAT THE LOG SAYS: {each['rows']} rows of {each['table']}"
        f" (such as {', '.join(each['keys'])})"
        for each in ended["differences"]
    ]
    if lines:
        return "\n".join((*lines, "mend them with `quartermaster rebuild`"))
    if not ended["position"]:
        return "the read models were made anew from the log just now"
    return f"{len(ended['models'])} read models are what the log says through {ended['position']}"


def backup_line(made: Mapping[str, Any]) -> str:
    """Return what a backup holds."""
    return (
        f"{made['directory']}: {made['events']} events through position {made['position']},"
        f" {size(made['bytes'])} in {made['files']} files\n"
        f"the facts' chain ends at {made['hash']}"
    )


def restore_line(report: Mapping[str, Any]) -> str:
    """Return what was restored and whether it verifies."""
    lines = [f"restored {report['events']} events", verify_line({**report, "rewinds": ()})]
    lines += [f"rewound: {rewind}" for rewind in report["rewinds"]]
    if report["rewinds"]:
        lines.append("run `quartermaster rebuild` once the platform is started on it")
    return "\n".join(lines)


def accepted_line(found: Mapping[str, Any]) -> str:
    """Return from where the log goes on, and who had seen more."""
    lines = [f"the log goes on behind position {found['position']}"]
    lines += [f"rewound: {rewind}" for rewind in found["rewinds"]]
    lines.append("start the platform and run `quartermaster rebuild`")
    return "\n".join(lines)


def stats_tables(counted: Mapping[str, Any]) -> None:
    """Print the counts."""
    console = Console()
    console.print(
        f"{counted['events']} events, {size(counted['bytes'])} of data"
        f" ({size(counted['bytes_on_disk'])} on disk); head {counted['head']},"
        f" published through {counted['cursor']} ({counted['cursor_lag']} behind);"
        f" {counted['dropped']} dropped in {len(counted['seals'])} sealed days",
        soft_wrap=True,
    )
    for name, title in (
        ("by_retention", "kept as"),
        ("by_type", "type"),
        ("by_family", "streams"),
        ("by_day", "day"),
    ):
        rows = [
            (key, f"{count['events']}", size(count["bytes"]), f"{_each(count)}")
            for key, count in counted[name].items()
        ]
        show(console, (title, "events", "bytes", "bytes each"), rows)
    partitions = [
        (partition["partition"], size(partition["bytes_on_disk"]))
        for partition in counted["partitions"]
    ]
    show(console, ("partition", "on disk"), partitions)


def _each(count: Mapping[str, int]) -> int:
    return count["bytes"] // max(1, count["events"])


def show(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, and where nobody looks plain lines of fields with tabs between."""
    if not console.is_terminal:
        typer.echo("\n".join("\t".join(row) for row in (head, *rows)))
        return
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def jobs_table(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Print jobs."""
    rows = []
    for job in jobs:
        done = job["progress"]
        far = f"{done['done']} of {done['total']} {done['what']}" if done else ""
        asked_at = (job["asked_at"] or "")[:19]
        row = (job["job_id"], job["kind"], job["state"], far, asked_at, job["actor"])
        rows.append((*row, job["problem"] or ""))
    head = ("job", "kind", "state", "how far", "asked at", "by", "problem")
    show(Console(), head, rows)


def size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} TiB"
