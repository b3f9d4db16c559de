"""`python -m deploy.grafana write|check`: the generated dashboards and alert rules."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import fleet, platform
from deploy.prometheus import rules

HERE = Path(__file__).parent
FILE_OF_RULES = HERE.parent / "prometheus" / "quartermaster.rules.yml"
MARK = "# Made by `python -m deploy.grafana write` from rules.py.\n"


def generated() -> Mapping[Path, str]:
    """Return every generated file with its text."""
    boards = {"platform": platform.dashboard(), "fleet": fleet.dashboard()}
    files = {
        HERE / "dashboards" / f"{name}.json": _json(board.build()) for name, board in boards.items()
    }
    text = yaml.safe_dump(rules.as_document(), sort_keys=False, width=1000)
    return {**files, FILE_OF_RULES: MARK + text}


def main(arguments: list[str]) -> int:
    """Write the files, or say which differ from what would be written; return the exit code."""
    if arguments not in (["write"], ["check"]):
        sys.stderr.write("usage: python -m deploy.grafana write|check\n")
        return 2
    stale = [path for path, text in generated().items() if not _holds(path, text)]
    for path in stale:
        if arguments == ["write"]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path])
        else:
            print(f"{path.name} is not what `python -m deploy.grafana write` makes")
    return 1 if stale and arguments == ["check"] else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def _json(board: object) -> str:
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
