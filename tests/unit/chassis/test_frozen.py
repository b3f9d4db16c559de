"""Frozen states: of one fold and shape, whole or not at all."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from importlib import util

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import Bug
from services.chassis.frozen import LINE_ENTRIES, Freezer, in_slices, pack, unpack


@dataclass
class State:
    limit: float = field(default=1.0, metadata={"stored": False})
    count: int = 0
    names: dict[str, int] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    rest: list[int] = field(default_factory=list)


FULL = State(
    count=3,
    names={f"n{k}": k for k in range(3 * LINE_ENTRIES + 1)},
    places=dict.fromkeys(range(LINE_ENTRIES, 0, -1), "x"),
    rest=[3, 1, 2],
)


def thawed(lines, into: State) -> State:
    for _ in Freezer("s", State()).thaw(lines, into):
        pass
    return into


def test_a_state_thaws_as_it_was_frozen_and_in_order():
    lines = list(Freezer("s", FULL).freeze(FULL))
    packed, plain_bytes = pack(lines)
    assert unpack(packed, plain_bytes) == lines
    assert repr(thawed(lines, State(names={"old": 1}, rest=[9]))) == repr(FULL)
    assert repr(thawed(Freezer("s", State()).freeze(State()), State(count=7))) == repr(State())


@pytest.mark.parametrize("wrong", ["cut", "other", "empty", "unknown", "broken"])
def test_what_is_not_a_whole_state_leaves_the_state_as_it_is(wrong):
    lines = list(Freezer("s", FULL).freeze(FULL))
    bad = {
        "cut": lines[:-1],
        "other": Freezer("other", FULL).freeze(FULL),
        "empty": [],
        "unknown": [*lines, b'["unheard",1]'],
        "broken": [*lines[:3], lines[3][:-1]],
    }[wrong]
    state = State(count=1)
    with pytest.raises((ValueError, KeyError)):
        thawed(bad, state)
    assert state == State(count=1)


@pytest.mark.parametrize("wrong", ["cut", "flipped", "longer", "shorter", "more behind"])
def test_what_cannot_be_unpacked_exactly_is_refused(wrong):
    packed, plain_bytes = pack([b"x" * 1000])
    flipped = bytes([packed[9] ^ 0xFF])
    bad = {
        "cut": (packed[:-5], plain_bytes),
        "flipped": (packed[:9] + flipped + packed[10:], plain_bytes),
        "longer": (packed, plain_bytes + 1),
        "shorter": (packed, plain_bytes - 1),
        "more behind": (packed + b"x", plain_bytes),
    }[wrong]
    with pytest.raises(ValueError, match="it "):
        unpack(*bad)


def test_another_service_or_configuration_is_another_fingerprint():
    fingerprints = {
        Freezer(service, State(limit)).fingerprint
        for service, limit in (("a", 1.0), ("b", 1.0), ("a", 2.0))
    }
    assert len(fingerprints) == 3
    assert Freezer("a", State()).fingerprint == Freezer("a", FULL).fingerprint


def loaded(path) -> type:
    spec = util.spec_from_file_location("a_changed_fold", path)
    module = util.module_from_spec(spec)
    sys.modules["a_changed_fold"] = module
    spec.loader.exec_module(module)
    return module.State


def test_a_changed_fold_is_another_fingerprint_though_the_shape_is_the_same(tmp_path):
    room = tmp_path / "state"
    room.mkdir()
    source = "from dataclasses import dataclass\n@dataclass\nclass State:\n    n: int = 0\n"
    (room / "__init__.py").write_text(source)
    (room / "folds.py").write_text("def fold(): return 1\n")
    before = Freezer("s", loaded(room / "__init__.py")()).fingerprint
    assert Freezer("s", loaded(room / "__init__.py")()).fingerprint == before
    (room / "folds.py").write_text("def fold(): return 2\n")
    assert Freezer("s", loaded(room / "__init__.py")()).fingerprint != before
    shutil.rmtree(room)


def test_a_value_that_is_not_of_its_shape_is_a_bug():
    with pytest.raises(Bug, match="rest is not of its shape"):
        list(Freezer("s", State()).freeze(State(rest=[object()])))


async def test_slices_let_others_run_and_end_when_they_may_not_go_on(monkeypatch):
    from services.chassis import frozen

    monkeypatch.setattr(frozen, "SLICE_S", 0.0)
    assert await in_slices(range(5), SystemClock()) == [0, 1, 2, 3, 4]
    answers = iter([True, True, False])
    assert await in_slices(range(5), SystemClock(), lambda: next(answers)) is None
