"""What people ask of the event log itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.http.gateway import Body

Directory = Annotated[
    str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class NewJob(Body):
    """Work on the whole log. directory: where a backup goes, below the journal's own."""

    kind: Literal["verify", "stats", "backup"]
    directory: Annotated[Directory | None, Field()] = None

    def parameters(self) -> dict[str, str]:
        """Return what the job is told beside its kind."""
        return {} if self.directory is None else {"directory": self.directory}
