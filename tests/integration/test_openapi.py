"""The API does what its description says: every operation, with whatever its schemas allow."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.gateway_door import BEARER
from tests.served_door import Served, a_served_door

EXAMPLES = int(os.environ.get("QM_EXAMPLES", "1"))  # of each operation; more by hand
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
UNAUTHORIZED = 401
PAGE = {"items": [], "next_cursor": None}


class Explains:
    async def explain(self, question: object) -> tuple[bytes, int]:
        return b"{}", 1


class AnyAnswer(dict):
    """Pages are empty, and an instance whose logs are asked for is not there."""

    def get(self, path: str, default: object = None) -> Any:
        return (404, {"detail": "not there"}) if path.startswith("/instances/") else (200, PAGE)


@pytest.fixture(scope="module")
async def served():
    async with a_served_door(reads_per_s=0, commands_per_s=0) as door:
        door.door.query.answers = AnyAnswer()
        state = door.door.app.state
        state.doors = replace(state.doors, scheduler=Explains())
        yield door


@pytest.fixture
def document(served: Served) -> dict[str, Any]:
    return orjson.loads(orjson.dumps(served.door.app.openapi()))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield method.upper(), path, operation


def test_every_operation_is_shown_by_example(document):
    missing = []
    for method, path, operation in operations(document):
        place = f"{method} {path}"
        assert operation["description"], place
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [
            answer.get("content", {})
            for code, answer in operation["responses"].items()
            if code in {"200", "201", "202"}
        ]
        missing += [
            place
            for content in contents
            for kind, shown in content.items()
            if kind == "application/json" and shown.get("example") is None
        ]
        missing += [
            f"{place} {each['name']}"
            for each in operation.get("parameters", ())
            if each["in"] == "path" and each.get("example") is None
        ]
    assert not missing


def test_every_operation_says_who_may_ask(document):
    for method, path, operation in operations(document):
        is_public = operation["x-permission"] == "public"
        assert is_public is ("security" not in operation), f"{method} {path}"


async def test_every_example_of_a_request_is_taken_as_it_stands(served: Served, document):
    """Refused it may be, for what it names is not there; never for how it is written."""
    for method, template, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        inside = [each for each in operation.get("parameters", ()) if each["in"] == "path"]
        path = template.format(**{each["name"]: each["example"] for each in inside})
        answer = await served.door.client.request(method, path, json=content["example"])
        fields = {error["field"] for error in answer.json().get("errors", ())}
        names = {"environment_id", "model_name", "model_id", "gpu_id", "current_password"}
        assert answer.status_code != 422 or fields & names, f"{method} {path}: {answer.text}"


def _try(operation: Any, url: str) -> None:
    is_public = operation.definition.raw["x-permission"] == "public"

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def whatever_the_schema_allows(case: Any) -> None:
        known = case.call(base_url=url, headers=BEARER, timeout=20)
        case.validate_response(known, checks=CHECKS)
        stranger = case.call(base_url=url, timeout=20)
        case.validate_response(stranger, checks=CHECKS)
        assert is_public or stranger.status_code == UNAUTHORIZED

    whatever_the_schema_allows()


async def test_whatever_the_description_allows_is_answered_as_it_says(served: Served, document):
    """To whoever is known, and to strangers."""
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        await asyncio.to_thread(_try, found.ok(), served.url)
