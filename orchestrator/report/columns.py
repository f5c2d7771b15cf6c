"""Tables for a terminal, wide ones as several narrow ones below each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

GAP = 3
"""Blank columns that rich leaves between two columns of a table."""


def listing(
    header: Iterable[str], rows: Iterable[Iterable[RenderableType]], *, right: tuple[str, ...] = (), **looks: Any
) -> Table:
    """A table with a line below its header; columns with a heading in ``right`` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, **looks)
    for heading in header:
        table.add_column(heading, justify="right" if heading in right else "left")
    for row in rows:
        table.add_row(*row)
    return table


def narrow(
    header: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int, fixed: int, **looks: Any
) -> Iterator[Table]:
    """A table with rows by ``k``; several, each with the first ``fixed`` columns, if the others do not fit in width."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(line) for text in column for line in str(text).split("\n")) + GAP for column in columns]
    room = width + GAP - sum(widths[:fixed])
    others, at_most = columns[fixed:], max(1, room // max(widths[fixed:]))
    size = math.ceil(len(others) / math.ceil(len(others) / at_most))  # as few tables as possible, about equally wide
    for start in range(0, len(others), size):
        block = others[start : start + size]
        _, *texts = zip(*columns[:fixed], *block, strict=True)
        yield listing((str(column[0]) for column in (*columns[:fixed], *block)), texts, right=("k",), **looks)
