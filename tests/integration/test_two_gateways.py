"""Two gateways over one log: what one decides on, the other cannot pull away from under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contracts.events.account import AccountPasswordChanged
from contracts.events.environment import EnvironmentDeleted
from contracts.events.model import ModelRegistered, ModelUpdated
from contracts.events.node import NodeRegistered, NodeUpdated
from services.chassis.errors import Unavailable
from tests.accounts_door import login, register
from tests.gateway_door import Door, a_door, a_door_beside, a_model, a_node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CANARY = "canary-0f62-do-not-leak"


@pytest.fixture
async def one():
    async with a_door() as door:
        yield door


@pytest.fixture
async def two(one):
    async with a_door_beside(one) as door:
        yield door


def just_before_it_proposes(door: Door, happens: Callable[[], Awaitable[Any]]) -> None:
    """Let something happen between a gateway's decision and its proposal, once."""
    recorder = door.commands._recorder
    propose, todo = recorder.propose, [happens]

    async def late(*drafts: Any, **more: Any) -> Any:
        if todo:
            await todo.pop()()
        return await propose(*drafts, **more)

    recorder.propose = late  # type: ignore[method-assign]


def loses_the_answer(door: Door) -> Callable[[], None]:
    """Record, and lose what the journal says; return what mends it."""
    recorder = door.commands._recorder
    propose = recorder.propose

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("the journal does not answer")

    recorder.propose = away  # type: ignore[method-assign]

    def mend() -> None:
        recorder.propose = propose  # type: ignore[method-assign]

    return mend


async def empty(one: Door, two: Door) -> tuple[str, str]:
    """Return an environment to live in and an empty one, known to both gateways."""
    home, other = await one.an_environment("home"), await one.an_environment("other")
    await two.folding.reach(one.folding.position)
    return home, other


def deleting(door: Door, environment: str) -> Callable[[], Awaitable[Any]]:
    async def delete() -> None:
        answer = await door.client.delete(f"/api/v1/environments/{environment}")
        assert answer.status_code == 200, answer.text

    return delete


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [("/models", a_model, ModelRegistered), ("/nodes", a_node, NodeRegistered)],
)
async def test_nothing_moves_into_an_environment_that_is_deleted_meanwhile(
    one, two, path, body, event
):
    _, environment = await empty(one, two)
    just_before_it_proposes(two, deleting(one, environment))
    answer = await two.post(path, body(environment))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "environment_id"
    assert one.world.facts(EnvironmentDeleted)
    assert not one.world.facts(event)


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [("/models", a_model, ModelUpdated), ("/nodes", a_node, NodeUpdated)],
)
async def test_nothing_is_moved_to_an_environment_that_is_deleted_meanwhile(
    one, two, path, body, event
):
    home, environment = await empty(one, two)
    made = await one.made(path, body(home))
    await two.folding.reach(one.folding.position)
    just_before_it_proposes(two, deleting(one, environment))
    changes = {"environment_id": environment}
    answer = await two.client.patch(f"/api/v1{path}/{made['id']}", json=changes)
    assert answer.status_code == 422
    assert not one.world.facts(event)


@pytest.mark.parametrize(("path", "body"), [("/models", a_model), ("/nodes", a_node)])
async def test_an_environment_into_which_something_moves_meanwhile_is_not_deleted(
    one, two, path, body
):
    _, environment = await empty(one, two)

    async def move_in() -> None:
        await one.made(path, body(environment))

    just_before_it_proposes(two, move_in)
    answer = await two.client.delete(f"/api/v1/environments/{environment}")
    assert answer.status_code == 409
    assert not one.world.facts(EnvironmentDeleted)


async def test_two_gateways_fill_one_environment_at_once(one, two):
    home, _ = await empty(one, two)

    async def move_in() -> None:
        await one.made("/models", a_model(home, name="first"))

    just_before_it_proposes(two, move_in)
    await two.made("/models", a_model(home, name="second"))
    assert {each.name for each in one.world.facts(ModelRegistered)} == {"first", "second"}


async def test_the_secret_of_a_refused_model_is_forgotten(one, two):
    _, environment = await empty(one, two)
    just_before_it_proposes(two, deleting(one, environment))
    body = a_model(environment, rabbitmq_password=CANARY)
    assert (await two.post("/models", body)).status_code == 422
    assert list(one.secrets.rows.values()) == [None]


async def test_the_new_password_of_a_refused_change_is_forgotten_and_the_old_one_kept(one, two):
    home, other = await empty(one, two)
    made = await one.made("/models", a_model(home, rabbitmq_password="the first"))
    await two.folding.reach(one.folding.position)
    just_before_it_proposes(two, deleting(one, other))
    changes = {"environment_id": other, "rabbitmq_password": CANARY}
    answer = await two.client.patch(f"/api/v1/models/{made['id']}", json=changes)
    assert answer.status_code == 422
    kept = {version: row is not None for (_, version), row in one.secrets.rows.items()}
    assert kept == {1: True, 2: False}


async def test_the_secret_is_kept_while_it_is_not_known_whether_it_is_needed(one):
    home = await one.an_environment("home")
    mend = loses_the_answer(one)
    body, key = a_model(home, rabbitmq_password=CANARY), {"idempotency-key": "k-1"}
    assert (await one.post("/models", body, **key)).status_code == 503
    assert None not in one.secrets.rows.values()
    mend()
    assert (await one.post("/models", body, **key)).status_code == 201
    [registered] = one.world.facts(ModelRegistered)
    place = registered.queue.password.secret_id, registered.queue.password.version
    assert list(one.secrets.rows) == [place]


async def test_the_secret_of_a_stored_proposal_that_came_too_late_is_forgotten(one, two):
    home, _ = await empty(one, two)
    mend = loses_the_answer(two)
    body, key = a_model(home, rabbitmq_password=CANARY), {"idempotency-key": "k-1"}
    assert (await two.post("/models", body, **key)).status_code == 503
    mend()
    await one.made("/models", a_model(home, name="somebody else"))
    assert (await two.post("/models", body, **key)).status_code == 201
    registered = one.world.facts(ModelRegistered)[-1]
    place = registered.queue.password.secret_id, registered.queue.password.version
    assert {key for key, row in one.secrets.rows.items() if row is not None} == {place}
    assert len(one.secrets.rows) == 2


async def test_of_two_new_passwords_at_once_the_one_that_counts_opens_the_account(one, two):
    made = await register(one, "ada")
    path = f"/api/v1/accounts/{made.json()['id']}/password"
    await two.folding.reach(one.folding.position)

    async def changed_elsewhere() -> None:
        answer = await one.client.put(path, json={"password": "the second to be kept"})
        assert answer.status_code == 200, answer.text

    just_before_it_proposes(two, changed_elsewhere)
    late = await two.client.put(path, json={"password": "the first to be kept"})
    assert (late.status_code, late.json()["errors"][0]["field"]) == (409, "password")
    assert (await login(one, "ada", "the second to be kept")).status_code == 200
    assert [version for _, version in one.own.credentials.rows] == [3]
    assert [each.password.version for each in one.world.facts(AccountPasswordChanged)] == [3]


async def test_a_password_whose_digest_was_lost_is_replaced_by_a_later_version(one):
    made = await register(one, "ada")
    one.own.credentials.rows.clear()
    path = f"/api/v1/accounts/{made.json()['id']}/password"
    answer = await one.client.put(path, json={"password": "found a new one"})
    assert answer.status_code == 200, answer.text
    assert [version for _, version in one.own.credentials.rows] == [2]
    assert (await login(one, "ada", "found a new one")).status_code == 200
