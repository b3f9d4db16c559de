"""What proves somebody: signed tokens, slow digests, files of keys, and where a request is from."""

from __future__ import annotations

import io
import stat
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr
from starlette.requests import Request

from services.chassis.addresses import Proxies
from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.logging import redact
from services.chassis.targets import AllowList
from services.gateway.adapters import door_keys, passwords
from services.gateway.adapters.passwords import Argon2
from services.gateway.adapters.tokens import AUDIENCE, ISSUER, TYPE, Tokens, _kid
from tests.memory_accounts import quick_argon2

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens((KEY,), HOUR)


def forged(key=KEY, algorithm="EdDSA", without=(), headers=(), **claims) -> str:
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "acc-1",
        "sid": "s-1",
        "jti": "t-1",
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + HOUR).timestamp()),
        **claims,
    }
    kept = {name: value for name, value in said.items() if name not in without}
    head = {"kid": _kid(KEY.public_key()), "typ": TYPE, **dict(headers)}
    return jwt.encode(kept, key, algorithm=algorithm, headers=head)


def test_a_token_says_who_and_when(tokens: Tokens):
    said = tokens.read(tokens.issue("acc-1", "s-1", NOW))
    assert (said.account_id, said.session_id) == ("acc-1", "s-1")
    assert (said.issued_at, said.expires_at) == (NOW, NOW + HOUR)
    assert tokens.read(forged()) is not None


def test_who_signed_a_token_is_looked_at_once(tokens: Tokens, monkeypatch):
    token = tokens.issue("acc-1", "s-1", NOW)
    first = tokens.read(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert tokens.read(token) is first


def test_only_so_many_tokens_are_remembered(tokens: Tokens, monkeypatch):
    monkeypatch.setattr("services.gateway.adapters.tokens.REMEMBERED", 2)
    first, *others = [tokens.issue("acc-1", "s-1", NOW) for _ in range(4)]
    for token in (first, others[0], first, *others[1:]):
        assert tokens.read(token)
    assert len(tokens._read) == 2


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "x" * 5000,
        *(forged(without=(claim,)) for claim in ("iss", "aud", "sub", "sid", "exp", "iat", "jti")),
        forged(aud="another"),
        forged(iss="another"),
        forged(sub=7),
        forged(exp="never"),
        forged(exp=10**30),
        forged(key=Ed25519PrivateKey.generate()),
        forged(headers={"kid": "another"}),
        forged(headers={"typ": "JWT"}),
        forged(key=None, algorithm="none"),
        forged(key="k" * 64, algorithm="HS512"),
    ],
)
def test_any_other_token_is_nobodys(tokens: Tokens, token):
    assert tokens.read(token) is None


def test_a_key_that_is_followed_by_another_reads_on():
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    before = Tokens((old,), HOUR).issue("acc-1", "s-1", NOW)
    after = Tokens((new, old), HOUR)
    assert after.read(before) is not None
    assert Tokens((old,), HOUR).read(after.issue("acc-1", "s-1", NOW)) is None
    with pytest.raises(Bug):
        Tokens((), HOUR)


async def test_a_password_fits_its_digest_however_it_was_typed():
    argon2 = quick_argon2()
    digest = await argon2.digest("caf\u00e9 au lait")
    assert digest.startswith("$argon2id$")
    assert await argon2.is_right(digest, "cafe\u0301 au lait")
    assert not await argon2.is_right(digest, "tea")
    assert not await argon2.is_right(None, "tea")
    with pytest.raises(Bug):
        await argon2.is_right("no digest", "tea")


async def test_digests_of_weaker_days_are_dated():
    weak = await quick_argon2().digest("tea for two")
    assert Argon2().is_dated(weak)
    assert not quick_argon2().is_dated(weak)


async def test_a_crowd_of_passwords_is_refused_rather_than_kept_waiting(monkeypatch):
    monkeypatch.setattr(passwords, "WAITING", 0)
    with pytest.raises(Unavailable):
        await quick_argon2().digest("tea")


def test_the_first_start_makes_keys_that_only_we_read_and_the_next_ones_find_them(tmp_path):
    made = door_keys.load(tmp_path / "gateway", None)
    again = door_keys.load(tmp_path / "gateway", None)
    assert (made.is_first_start, again.is_first_start) == (True, False)
    assert made.admin_token == again.admin_token
    for file in (tmp_path / "gateway").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = Tokens(made.signing, HOUR).issue("acc-1", "s-1", NOW)
    assert Tokens(again.signing, HOUR).read(token) is not None
    assert made.admin_token.get_secret_value() not in repr(made)


def test_a_given_token_is_used_and_none_is_made(tmp_path):
    given = door_keys.load(tmp_path, SecretStr("given-" * 4))
    assert given.admin_token.get_secret_value() == "given-" * 4
    assert not given.is_first_start
    assert not (tmp_path / door_keys.TOKEN_FILE).exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (door_keys.TOKEN_FILE, "short"),
        (door_keys.SIGNING_FILE, ""),
        (door_keys.SIGNING_FILE, "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"),
    ],
)
def test_a_file_that_holds_no_key_stops_the_start(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    with pytest.raises(Refused, match=file):
        door_keys.load(tmp_path, None)


def test_keys_that_cannot_be_kept_stop_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="neither read nor made"):
        door_keys.load(tmp_path / "file" / "keys", None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_is_told_the_token_and_only_once(tmp_path):
    keys, out, file = door_keys.load(tmp_path, None), Terminal(), io.StringIO()
    token = keys.admin_token.get_secret_value()
    with structlog.testing.capture_logs() as logs:
        door_keys.announce(keys, "::1", 8000, out)
        door_keys.announce(keys, "::1", 8000, file)
        door_keys.announce(door_keys.load(tmp_path, None), "::1", 8000, out)
    assert out.getvalue().count(token) == 1
    assert "http://[::1]:8000" in out.getvalue()
    assert token not in file.getvalue() + repr(logs)
    assert str(tmp_path / door_keys.TOKEN_FILE) in repr(logs)


def test_log_lines_hide_tokens_and_keys_wherever_they_stand():
    shown = [f"qmk_{'k' * 43}", f"qmr_{'r' * 43}", Tokens((KEY,), HOUR).issue("a", "s", NOW)]
    entry = {"detail": f"refused: {shown[0]}, {shown[1]} and {shown[2]}."}
    hidden = redact(None, "", entry)["detail"]
    assert hidden == "refused: ***, *** and ***."


@pytest.mark.parametrize(
    ("client", "told", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.2.3.4", "198.51.100.1, 127.0.0.2"], "198.51.100.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("::ffff:198.51.100.1", [], "198.51.100.1"),
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["nonsense"], "nonsense"),
        (None, [], "nowhere"),
    ],
)
def test_a_proxy_is_believed_only_where_it_is_trusted(client, told, address):
    headers = [(b"x-forwarded-for", each.encode()) for each in told]
    scope = {"type": "http", "client": client and (client, 1), "headers": headers}
    assert Proxies(AllowList(("127.0.0.0/8",))).address(Request(scope)) == address
