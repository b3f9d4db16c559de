"""Sealed bytes open for the holder of the key, and for nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import Refused
from services.chassis.sealed import Keypair, seal

OURS, THEIRS = Keypair.new(), Keypair.new()


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_again(plain):
    assert OURS.open(seal(OURS.public, plain)) == plain


def test_the_same_bytes_never_look_the_same_twice():
    assert seal(OURS.public, b"secret") != seal(OURS.public, b"secret")


def test_nobody_else_opens_it():
    with pytest.raises(Refused):
        THEIRS.open(seal(OURS.public, b"secret"))


@given(st.integers(0, 32 + 16 + 5), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place, change):
    sealed = bytearray(seal(OURS.public, b"secret"))
    sealed[place] ^= change
    with pytest.raises(Refused):
        OURS.open(bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"x" * 31, b"\0" * 32, b"\0" * 80])
def test_what_was_never_sealed_is_refused(sealed):
    with pytest.raises(Refused):
        OURS.open(sealed)


@pytest.mark.parametrize("public", [b"", b"x" * 31, b"\0" * 32])
def test_what_is_no_key_is_refused(public):
    with pytest.raises(Refused):
        seal(public, b"secret")


def test_a_derived_pair_is_always_the_same_and_differs_by_purpose():
    first = Keypair.derived(b"k" * 32, b"one")
    assert Keypair.derived(b"k" * 32, b"one").public == first.public
    assert Keypair.derived(b"k" * 32, b"two").public != first.public
