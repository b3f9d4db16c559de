"""Values that nobody should send, and sound ones with some of their parts put out of joint."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

hostile = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
EXTREMES: tuple[Any, ...] = (
    *(0, -1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400),
    *(1e308, -0.0, float("inf"), float("nan")),
    *(
        "",
        "\x00",
        "\n",
        "../../etc/passwd",
        "$(id)",
        "'; drop table log.facts; --",
        "{0.__class__}",
    ),
    *("\ufeff", "\u202e", "x" * 5000, "-rf", "0x10", "nan", "1" * 400),
    *(None, True, [], {}, [[]], {"": {}}),
)
WILD = st.recursive(
    st.sampled_from(EXTREMES) | st.text(max_size=20) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def spoiled(draw: st.DrawFn, sound: Any, most: int = 3) -> Any:
    """Return a copy in which up to so many parts are wild or gone."""
    made = _copy(sound)
    for _ in range(draw(st.integers(1, most))):
        places = [place for place in _places(made) if place]
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        part = made
        for step in way:
            part = part[step]
        if draw(st.booleans()) and draw(st.booleans()):
            del part[last]
        else:
            part[last] = _copy(draw(WILD))
    return made


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [at, *(place for key, each in parts for place in _places(each, (*at, key)))]
