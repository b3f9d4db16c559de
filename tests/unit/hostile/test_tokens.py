"""Whatever is made of a good token, it is nobody's or says what it said."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters.tokens import Tokens
from tests.unit.hostile.mutations import hostile

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime.now(UTC)
KEY = Ed25519PrivateKey.generate()
OURS, THEIRS = (Tokens((key,), timedelta(hours=1)) for key in (KEY, Ed25519PrivateKey.generate()))
GOOD = OURS.issue("acc-1", "s-1", NOW)
OTHERS = (OURS.issue("acc-2", "s-2", NOW), THEIRS.issue("acc-1", "s-1", NOW))
PUBLIC = KEY.public_key()
SECRETS = (
    PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw),
    PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    b"",
)


def written(part: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode()


def head_of(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    return dict(orjson.loads(urlsafe_b64decode(part + "==")))


@pytest.mark.parametrize("secret", SECRETS, ids=["raw", "pem", "openssh", "none"])
@pytest.mark.parametrize("algorithm", ["HS256", "hs256", "none", "None", "ES256", "EdDSA"])
def test_what_everybody_may_know_signs_nothing(secret: bytes, algorithm: str):
    head = written({**head_of(GOOD), "alg": algorithm})
    claims = GOOD.split(".")[1]
    mac = hmac.new(secret, f"{head}.{claims}".encode(), sha256).digest()
    signatures = (urlsafe_b64encode(mac).rstrip(b"=").decode(), GOOD.split(".")[2], "")
    for signature in signatures:
        said = OURS.read(f"{head}.{claims}.{signature}")
        assert said is None or (algorithm == "EdDSA" and signature == GOOD.split(".")[2])


def test_a_key_that_comes_along_is_not_used():
    theirs = OTHERS[1].split(".")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}
    for more in ({"jwk": jwk}, {"jku": "https://evil.example/"}, {"kid": "../../dev/null"}):
        assert OURS.read(".".join([written({**head_of(OTHERS[1]), **more}), *theirs[1:]])) is None


@hostile
@given(st.integers(0, len(GOOD) - 1), st.characters(codec="utf-8"))
def test_a_changed_token_is_nobodys_or_says_the_same(place: int, character: str):
    said = OURS.read(GOOD[:place] + character + GOOD[place + 1 :])
    assert said is None or said == OURS.read(GOOD)


@hostile
@given(st.lists(st.sampled_from((0, 1, 2)), min_size=3, max_size=3))
def test_parts_of_several_tokens_make_none(whose: list[int]):
    tokens = (GOOD, *OTHERS)
    mixed = ".".join(tokens[owner].split(".")[part] for part, owner in enumerate(whose))
    assert OURS.read(mixed) is None or mixed in {GOOD, OTHERS[0]}


@hostile
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda each: each.decode("latin-1")))
def test_noise_is_nobodys(token: str):
    assert OURS.read(token) is None
