"""Tables for a terminal, wide ones as several narrow ones below each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

GAP = 3
"""Blank columns that rich leaves between two columns of a table."""

Item = TypeVar("Item")


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
    for block in blocks(columns[fixed:], max(1, room // max(widths[fixed:]))):
        _, *texts = zip(*columns[:fixed], *block, strict=True)
        yield listing((str(column[0]) for column in (*columns[:fixed], *block)), texts, right=("k",), **looks)


def blocks(items: Sequence[Item], at_most: int) -> list[Sequence[Item]]:
    """Split into as few blocks as possible, all of about the same size."""
    count = -(-len(items) // at_most)
    size = -(-len(items) // count) if count else 1
    return [items[start : start + size] for start in range(0, len(items), size)]
