"""Files that are nearly good, for property-based tests: edited bytes, edited values, and any bytes at all."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from([10**30, -1, 0, 1e308, 5e-324, "1e-6", "\ud800", "\x1b[2J", "=1+1", [], {}, [[]], {"a": {"b": 1}}]),
)  # fmt: skip
"""Values that somebody may write into a field."""


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Draw one of some files with up to four edits: bytes changed, cut out, put in, or repeated elsewhere."""
    content = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.integers(0, 40)))
        piece = bytes(content[at:to])
        new = draw(
            st.one_of(st.binary(max_size=8), st.just(b""), st.just(piece * 2), st.text(max_size=4).map(_encoded))
        )
        content[at:to] = new
    return bytes(content)


def any_bytes(good: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Draw damaged files, and now and then bytes that have nothing to do with them."""
    return st.one_of(damaged(good), damaged(good), damaged(good), st.binary(max_size=200))


@st.composite
def edited(draw: st.DrawFn, good: Any) -> Any:
    """Draw a JSON value like a given one, in which up to three values or keys, anywhere, are others."""
    content = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        holder, keys = content, list(_keys(content))
        while keys:
            key = draw(st.sampled_from(keys))
            inner = list(_keys(holder[key]))
            if not inner or draw(st.integers(0, 2)) == 0:
                _edit(draw, holder, key)
                break
            holder, keys = holder[key], inner
    return content


def _edit(draw: st.DrawFn, holder: Any, key: Any) -> None:
    match draw(st.sampled_from(["value", "gone", "twice", "renamed"])):
        case "gone":
            del holder[key]
        case "twice" if isinstance(holder, list):
            holder.append(holder[key])
        case "renamed" if isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = holder.pop(key)
        case _:
            holder[key] = copy.deepcopy(draw(VALUES))


def _keys(content: Any) -> Sequence[Any]:
    if isinstance(content, dict):
        return list(content)
    return range(len(content)) if isinstance(content, list) else ()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")
