"""Accounts and API keys decide purely: who there is, what they may do, and when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events.account import (
    AccountClosed,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    KeyCreated,
    KeyRevoked,
)
from contracts.events.control import NameClaimed, NameReleased
from contracts.roles import PERMISSIONS, ROLES, Permission, allowed
from contracts.types import SecretRef
from services.gateway.decide import keeping
from services.gateway.decide.accounts import (
    ChangePassword,
    ChangeRole,
    CloseAccount,
    Register,
    named,
    refused_to_register,
    secret_of,
)
from services.gateway.decide.api_keys import CreateKey, RevokeKey, is_for, refused_to_make
from services.gateway.decide.claims import SKEW, Claims, holds
from services.gateway.decide.principals import Principal, Session, of_key, of_session
from services.gateway.decide.throttling import Bucket, Limit, charge
from services.gateway.decide.views import view
from tests.unit.gateway.story import Story

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REF = SecretRef(secret_id="account.x", version=1)
ADMIN = Principal("api", frozenset(Permission))


@pytest.fixture
def story() -> Story:
    return Story()


def registered(story: Story, name: str = "ada", role: str | None = "operator", **more) -> str:
    return story.when(Register(name, role, **more), REF).shown


def a_key(story: Story, name: str = "nightly", by: str | None = None, **more) -> str:
    fields = {"role": "operator", "permissions": None, "expires_at": None, **more}
    return story.when(CreateKey(name, by=by, **fields)).shown


def principal(story: Story, account_id: str, version: int = 1) -> Principal | None:
    return of_session(story.state, Session("s", account_id, version), NOW)


def test_an_account_is_a_name_a_role_and_a_reference(story: Story):
    id_ = registered(story)
    story.then(NameClaimed, AccountRegistered)
    assert story.event(AccountRegistered).password == REF
    shown = view("account", id_, story.state.entities["account"][id_])
    assert {"id", "username", "role", "created_at", "updated_at", "version"} == shown.keys()


def test_the_first_account_of_the_installations_token_is_an_admin_and_the_next_a_viewer(story):
    first = registered(story, "ada", None, by_bootstrap=True)
    second = registered(story, "ben", None, by_bootstrap=True)
    third = registered(story, "eve", None)
    roles = [story.state.entities["account"][id_].data["role"] for id_ in (first, second, third)]
    assert roles == ["admin", "viewer", "viewer"]


@pytest.mark.parametrize("name", ["ADA", "ada"])
def test_a_name_is_one_persons_however_it_is_written_even_after_they_left(story: Story, name):
    id_ = registered(story, "Ada")
    assert named(story.state, name) == (id_, story.state.entities["account"][id_])
    story.when(Register(name, None), REF).then_denied("conflict", "username")
    story.when(CloseAccount(id_)).then(AccountClosed)
    assert named(story.state, name) is None
    story.when(Register(name, None), REF).then_denied("conflict", "username")


@pytest.mark.parametrize("name", ["api", "Scheduler", "anonymous"])
def test_nobody_takes_a_name_of_the_control_plane(story: Story, name):
    story.when(Register(name, None), REF).then_denied("refused", "username")
    story.when(CreateKey(name, "viewer", None, None, None)).then_denied("refused", "name")


def test_strangers_register_only_where_it_is_open_and_only_as_viewers():
    assert refused_to_register(by_admin=True, is_open=False, role="admin") is None
    assert refused_to_register(by_admin=False, is_open=False, role=None)
    assert refused_to_register(by_admin=False, is_open=True, role=None) is None
    assert refused_to_register(by_admin=False, is_open=True, role="operator")


def test_another_role_revokes_the_keys_that_may_do_more_than_it(story: Story):
    id_ = registered(story, role="operator")
    reads = a_key(story, "reads", id_, role="viewer")
    starts = a_key(story, "starts", id_)
    narrow = a_key(story, "narrow", id_, permissions=("read",))
    others = a_key(story, "others", None)
    story.when(ChangeRole(id_, "viewer")).then(AccountRoleChanged, KeyRevoked, NameReleased)
    assert set(story.state.entities["key"]) == {reads, narrow, others}
    assert story.verdict.forgets == (f"key.{starts}",)
    story.when(ChangeRole(id_, "viewer")).then()


def test_who_is_gone_or_has_another_password_is_out_with_their_sessions_and_keys(story: Story):
    id_ = registered(story)
    key = a_key(story, by=id_)
    assert principal(story, id_).name == "ada"
    new = SecretRef(secret_id=secret_of(id_), version=2)
    story.when(ChangePassword(id_), new).then(AccountPasswordChanged)
    assert principal(story, id_, version=1) is None
    assert principal(story, id_, version=2).role == "operator"
    story.when(CloseAccount(id_)).then(AccountClosed, KeyRevoked, NameReleased)
    assert principal(story, id_, version=2) is None
    assert of_key(story.state, key, NOW) is None
    assert set(story.verdict.forgets) == {secret_of(id_), f"key.{key}"}


def test_a_password_that_was_kept_before_the_one_that_counts_is_denied(story: Story):
    id_ = registered(story)
    second, third = (SecretRef(secret_id=secret_of(id_), version=number) for number in (2, 3))
    story.when(ChangePassword(id_), third).then(AccountPasswordChanged)
    story.when(ChangePassword(id_), second).then_denied("conflict", "password")
    story.when(ChangePassword(id_), third).then_denied("conflict", "password")


@pytest.mark.parametrize(
    "command",
    [
        ChangeRole("acc-0", "admin"),
        ChangePassword("acc-0"),
        CloseAccount("acc-0"),
        RevokeKey("key-0"),
    ],
)
def test_nobody_and_nothing_cannot_be_changed(story: Story, command):
    story.when(command, REF).then_denied("not_found")


def test_a_key_is_narrowed_expires_and_is_revoked(story: Story):
    ends = NOW + timedelta(days=1)
    id_ = a_key(story, permissions=("read",), expires_at=ends)
    story.then(NameClaimed, KeyCreated)
    found = of_key(story.state, id_, NOW)
    assert found.may(Permission.READ)
    assert not found.may(Permission.OPERATE)
    assert found.expires_at == ends
    assert of_key(story.state, id_, ends) is None
    assert view("key", id_, story.state.entities["key"][id_])["permissions"] == ["read"]
    story.when(RevokeKey(id_)).then(KeyRevoked, NameReleased)
    assert of_key(story.state, id_, NOW) is None
    a_key(story)  # the name is free for its successor


def test_a_key_cannot_be_given_what_its_role_has_not(story: Story):
    story.when(CreateKey("k", "viewer", ("operate",), None, None)).then_denied(
        "refused", "permissions"
    )


def test_a_key_made_while_its_maker_was_demoted_elsewhere_may_no_more_than_they(story: Story):
    id_ = registered(story, role="viewer")
    key = a_key(story, by=id_, role="admin")  # what two gateways at once can come to
    assert of_key(story.state, key, NOW).permissions == PERMISSIONS["viewer"]


def test_nobody_makes_a_key_that_may_do_more_than_they():
    operator = Principal("ada", PERMISSIONS["operator"], "account", "acc-1", "operator")
    assert refused_to_make(operator, "operator", None) is None
    assert refused_to_make(operator, "admin", ("read",)) is None
    assert refused_to_make(operator, "admin", None)
    assert refused_to_make(operator, "agent", None)
    assert refused_to_make(ADMIN, "agent", None) is None
    by_key = Principal("ci", frozenset(Permission), "key", "key-1")
    assert refused_to_make(by_key, "viewer", None)


def test_a_key_is_seen_by_its_maker_itself_and_admins(story: Story):
    maker, other = registered(story, "ada"), registered(story, "ben")
    id_ = a_key(story, by=maker)
    key = story.state.entities["key"][id_]
    assert is_for(ADMIN, id_, key)
    assert is_for(principal(story, maker), id_, key)
    assert is_for(of_key(story.state, id_, NOW), id_, key)
    assert not is_for(principal(story, other), id_, key)


def test_what_is_kept_beside_a_refused_decision_is_found_again(story: Story):
    registered(story)
    assert keeping.secrets_of(keeping.from_json(keeping.as_json(story.verdict))) == (REF,)
    id_ = a_key(story)
    assert keeping.secrets_of(story.verdict) == (SecretRef(secret_id=f"key.{id_}", version=1),)


def test_an_agent_reads_nothing_and_only_an_admin_may_everything():
    assert allowed("agent") == {Permission.PUBLIC, Permission.KNOWN, Permission.HEARTBEAT}
    assert allowed("admin") == frozenset(Permission)
    for role in ROLES:
        assert (Permission.ADMIN in allowed(role)) is (role == "admin")


@given(st.sampled_from(ROLES), st.lists(st.sampled_from(["heartbeat", "read", "operate", "admin"])))
def test_narrowing_never_widens(role, grants):
    assert allowed(role, tuple(grants)) <= allowed(role)


def test_a_token_holds_from_when_it_was_given_until_it_is_over():
    claims = Claims("acc", "s", "t", NOW, NOW + timedelta(hours=1))
    assert holds(claims, NOW)
    assert holds(claims, NOW - SKEW)
    assert not holds(claims, NOW - SKEW - timedelta(seconds=1))
    assert not holds(claims, claims.expires_at)


@given(
    st.integers(1, 30),
    st.lists(st.floats(0, 30, allow_nan=False), max_size=80),
)
def test_nobody_ever_tries_more_often_than_twice_the_limit_in_a_minute(per_minute, pauses):
    bucket, now, passed = Bucket("a", Limit(per_minute)), NOW, []
    for pause_s in pauses:
        now += timedelta(seconds=pause_s)
        charged = charge([bucket], now)
        if charged.full_at:
            passed.append(now)
            bucket = Bucket("a", bucket.limit, charged.full_at[0])
        else:
            assert charged.wait_s > 0
    for moment in passed:
        window = [each for each in passed if moment <= each < moment + timedelta(minutes=1)]
        assert len(window) <= 2 * per_minute


def test_one_empty_bucket_takes_nothing_from_the_others():
    empty = Bucket("a", Limit(1), NOW + timedelta(minutes=1))
    charged = charge([empty, Bucket("b", Limit(5))], NOW)
    assert charged.wait_s == 60
    assert charged.full_at == ()
    assert charge([], NOW).wait_s == 0
