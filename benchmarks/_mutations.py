"""Strategies and mutations for the fuzzers, and what counts as an error of our own."""

import linecache
import struct
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import graphkoopman

PACKAGE = str(Path(graphkoopman.__file__).parent)
OWN_ERRORS = (ValueError, TypeError, OSError)
INTERESTING = (0, 1, -1, 2**31 - 1, -(2**31), 255, 9, 2**16)


def outcome(function: Callable[..., Any], *arguments: Any) -> str:
    """``"ok"``, the kind of an error of our own, or the traceback of anything else.

    Our own is a `ValueError`, `TypeError` or `OSError` with a message that a ``raise`` statement
    of the package raised: errors that numpy or a parser raises while the package calls it are
    not.
    """
    try:
        function(*arguments)
    except OWN_ERRORS as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        statement = linecache.getline(frame.filename, frame.lineno or 0).strip()
        own = frame.filename.startswith(PACKAGE) and statement.startswith("raise")
        if own and len(str(error)) > 20:
            return next(kind.__name__ for kind in OWN_ERRORS if isinstance(error, kind))
        return traceback.format_exc()
    except Exception:
        return traceback.format_exc()
    return "ok"


def is_failure(result: str) -> bool:
    """Whether an outcome is neither a success nor an error of our own."""
    return not result.isidentifier()


# anything a user may pass by mistake
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 60),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.complex_numbers(),
    st.lists(st.integers(-2, 9) | st.floats(), max_size=4),
    st.tuples(st.text(max_size=3)),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.just(np.datetime64("2020-01-01")),
    st.builds(object),
    hnp.arrays(
        st.sampled_from(["f8", "f4", "i8", "u1", "?", "U2", "c8", "O"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
)

Operation = tuple[str, float, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(["flip", "integer", "float", "delete", "repeat", "insert", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, changes: list[Operation]) -> bytes:
    """Bytes after some changes, each at a fraction of the length; the number says how."""
    for kind, place, number in changes:
        # half of the changes go to the beginning, where headers are
        at = int((place if number % 2 else place**4) * len(content))
        head, tail = content[:at], content[at:]
        if kind == "flip" and tail:
            content = head + bytes([tail[0] ^ (1 << number % 8)]) + tail[1:]
        elif kind in ("integer", "float"):
            value = INTERESTING[number % len(INTERESTING)]
            order = "<>"[number // 128]
            word = struct.pack(f"{order}i", value)
            if kind == "float":
                word = struct.pack(f"{order}f", (np.nan, np.inf, 1e30, -1.0)[number % 4])
            content = head + word + tail[4:]
        elif kind == "delete":
            content = head + tail[1 + number :]
        elif kind == "repeat":
            content = head + tail[: 1 + number] + tail
        elif kind == "insert":
            content = head + bytes([number]) * (1 + number % 7) + tail
        elif kind == "cut":
            content = head
    return content


def json_leaves(value: Any, place: tuple = ()) -> list[tuple]:
    """Paths to everything in nested lists and dicts, containers included."""
    places = [place] if place else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, dict | list) else ():
        if isinstance(item, dict | list):
            places += json_leaves(item, (*place, key))
        else:
            places.append((*place, key))
    return places


def replace_leaf(value: Any, place: tuple, new: Any) -> None:
    """Set what is at a path, in place."""
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = new


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
