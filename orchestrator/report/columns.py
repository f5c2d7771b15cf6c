"""Tables for a terminal, wide ones as several narrow ones below each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from rich import box
from rich.console import RenderableType
from rich.table import Table

GAP = 3
"""Blank columns that rich leaves between two columns of a table."""

Item = TypeVar("Item")


def listing(
    header: Iterable[str], rows: Iterable[Iterable[RenderableType]], *, right: tuple[str, ...] = (), **looks: Any
) -> Table:
    """A table with a line below its header.

    Args:
        header: Headings.
        rows: A content for each column.
        right: Headings of the columns that are aligned to the right.
        looks: Of `rich.table.Table`.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, **looks)
    for heading in header:
        table.add_column(heading, justify="right" if heading in right else "left")
    for row in rows:
        table.add_row(*row)
    return table


def blocks(items: Sequence[Item], at_most: int) -> list[Sequence[Item]]:
    """Split into as few blocks as possible, all of about the same size."""
    count = -(-len(items) // at_most)
    size = -(-len(items) // count) if count else 1
    return [items[start : start + size] for start in range(0, len(items), size)]
