"""Writes the contracts as others read them, and checks that nobody who relies on them is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contracts import manifests
from contracts.catalogue import CATALOGUE, Entry
from contracts.compat import breaks
from contracts.http.webhook import AlertMessage
from deploy import openapi
from deploy.samples import a_sample

CONTRACTS = Path(__file__).parents[1] / "contracts"
SCHEMAS, SAMPLES = CONTRACTS / "schemas", CONTRACTS / "samples"
RELEASED = "main"
DIALECT = "application/schema+json;version=2020-12"
WEBHOOK_SCHEMA = "webhook.alert.v1.json"

CHANNELS = {
    "qm.proposed": "What services want recorded. Only the journal reads it.",
    "qm.recorded": "What is recorded, in runs of consecutive positions. Bind the event types.",
    "qm.journal": "Questions about the log: pages of history. Answers go to `reply_to`.",
}


def file_name(entry: Entry) -> str:
    """Return what the schema and the sample of an event version are called."""
    return f"{entry.event.type}.v{entry.event.schema_version}.json"


def generated() -> dict[Path, str]:
    """Return every generated file with its text."""
    files = {
        SCHEMAS / file_name(entry): _text(entry.event.model_json_schema())
        for entry in CATALOGUE.values()
    }
    files[SCHEMAS / WEBHOOK_SCHEMA] = _text(AlertMessage.model_json_schema())
    files[CONTRACTS / "manifests.json"] = _text(manifests.schema())
    files[CONTRACTS / "asyncapi.json"] = _text(asyncapi())
    files[CONTRACTS / "openapi.json"] = _text(openapi.of_gateway())
    files[CONTRACTS / "openapi.agent.json"] = _text(openapi.of_agent())
    return files


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of what travels on the broker."""
    messages = {entry.event.type: _message(entry) for entry in CATALOGUE.values()}
    events = {name: {"$ref": f"#/components/messages/{name}"} for name in sorted(messages)}
    question = {"question": {"$ref": "#/components/messages/question"}}
    carried = {"qm.proposed": events, "qm.recorded": events, "qm.journal": question}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Quartermaster", "version": "1.0.0"},
        "defaultContentType": "application/json",
        "channels": {
            name: {"address": name, "description": about, "messages": carried[name]}
            for name, about in CHANNELS.items()
        },
        "operations": {
            "propose": _operation("receive", "qm.proposed"),
            "follow": _operation("send", "qm.recorded"),
            "ask": _operation("receive", "qm.journal"),
        },
        "components": {"messages": {**dict(sorted(messages.items())), "question": _QUESTION}},
    }


_QUESTION = {
    "name": "question",
    "summary": "A page of history after a position; the answer's headers say how far it reaches.",
    "payload": {
        "type": "object",
        "required": ["op", "after"],
        "properties": {
            "op": {"const": "history"},
            "types": {"type": ["array", "null"], "items": {"type": "string"}},
            "after": {"type": "integer", "minimum": 0},
            "telemetry_since": {"type": ["string", "null"], "format": "date-time"},
        },
    },
}


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _message(entry: Entry) -> dict[str, Any]:
    summary = (entry.event.__doc__ or "").strip().splitlines()[0]
    return {
        "name": entry.event.type,
        "summary": summary,
        "payload": {
            "schemaFormat": DIALECT,
            "schema": {"$ref": f"./schemas/{file_name(entry)}"},
        },
        "x-schema-version": entry.event.schema_version,
        "x-retention": entry.retention,
        "x-proposed-by": sorted(entry.by),
    }


def write() -> list[Path]:
    """Write what is generated and the samples that are missing; return what changed."""
    files = generated()
    for entry in CATALOGUE.values():
        sample = SAMPLES / file_name(entry)
        if not sample.exists():  # one that is there is kept for ever
            files[sample] = _text(a_sample(entry.event))
    changed = [path for path, text in files.items() if _read(path) != text]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    return changed


def check() -> list[str]:
    """Return a sentence for everything that is wrong with the contracts as committed."""
    return [*_stale(), *_missing_samples(), *_broken()]


def _stale() -> Iterator[str]:
    files = generated()
    for path, text in files.items():
        if _read(path) != text:
            yield f"{path.relative_to(CONTRACTS.parent)} is not what the code says: write it anew"
    for path in sorted(SCHEMAS.glob("*.json")):
        if path not in files:
            yield f"{path.relative_to(CONTRACTS.parent)} belongs to no event: its readers are left"


def _missing_samples() -> Iterator[str]:
    for entry in CATALOGUE.values():
        if not (SAMPLES / file_name(entry)).exists():
            yield f"{entry.event.type} has no sample in contracts/samples"


def _broken() -> Iterator[str]:
    for name, old in released().items():
        path = SCHEMAS / name
        if not path.exists():
            yield f"{name} was released and is gone"
            continue
        for sentence in breaks(old, json.loads(path.read_text())):
            yield f"{name}: {sentence}; a break is a new version and an upcaster"


def released() -> Mapping[str, Any]:
    """Return the schemas of the main branch by file name; none, with a word, without git."""
    listed = _git("ls-tree", "--name-only", f"{RELEASED}:contracts/schemas")
    if listed is None:
        print(f"no schemas on git's {RELEASED}: compared with no release", file=sys.stderr)
        return {}
    shown = {name: _git("show", f"{RELEASED}:contracts/schemas/{name}") for name in listed.split()}
    return {name: json.loads(text) for name, text in shown.items() if text is not None}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=CONTRACTS, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _text(document: Any) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Do what the command line says: `write` or `check`."""
    match arguments:
        case ["write"]:
            for path in write():
                print(f"wrote {path.relative_to(CONTRACTS.parent)}")
            return 0
        case ["check"]:
            problems = check()
            print("\n".join(problems) or "contracts: as committed, and nothing is broken")
            return 1 if problems else 0
        case _:
            print("usage: python -m deploy.contracts write|check", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
