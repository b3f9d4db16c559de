"""Where the view goes: a live table on a terminal, a line every two seconds elsewhere."""

import re
import time
from collections import deque
from pathlib import Path

from rich.console import Console
from rich.live import Live

from deploy.demo.table import draw, line
from deploy.demo.view import Progress, View

LINE_EVERY_S = 2.0
NOTES = 4
PICTURE_WIDTH = 110
FETCHED_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # the reader's own will do


class Show:
    """What a person sees of the run."""

    def __init__(self) -> None:
        self._console = Console()
        self._live: Live | None = None
        self._told_at = 0.0
        self.notes: deque[str] = deque(maxlen=NOTES)

    def say(self, sentence: str) -> None:
        """Tell something that happened; it stays in sight below the table."""
        if self._live is None:
            self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        else:
            self.notes.append(sentence)

    def update(self, view: View, progress: Progress) -> None:
        """Show a newer view."""
        if self._console.is_terminal:
            self._on_terminal(view, progress)
        elif time.monotonic() - self._told_at >= LINE_EVERY_S:
            self._told_at = time.monotonic()
            self.say(line(view, progress))

    def close(self) -> None:
        """Leave the last picture standing and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _on_terminal(self, view: View, progress: Progress) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(draw(view, progress), refresh=True)


def picture(view: View, progress: Progress, file: Path) -> None:
    """Draw the table as it stands into an SVG file."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=PICTURE_WIDTH, file=nowhere)
        console.print(draw(view, progress))
    drawn = FETCHED_FONT.sub("", console.export_svg(title="just demo"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(row.rstrip() for row in drawn.splitlines()) + "\n")
