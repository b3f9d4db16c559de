"""Environments as people send them."""

from __future__ import annotations

from contracts.http.gateway import Body, Changes, Description, NewName


class NewEnvironment(Body):
    """POST /environments."""

    name: NewName
    description: Description = ""


class EnvironmentChanges(Changes):
    """PUT or PATCH /environments/{id}."""

    name: NewName = ""
    description: Description = ""
