"""Stored fits, with a line for each model of each, so that one sees how numbers changed with more runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.report.numbers import decimal, range_text, short

NUMBERS = {
    "a": ("local", "exponent"),
    "C_local": ("local", "constant"),
    "b": ("horizon", "eta_exponent"),
    "q": ("horizon", "k_exponent"),
    "C_horizon": ("horizon", "constant"),
}
"""The numbers that are listed, and their place in a fit's JSON."""


def history_json(fits: pd.DataFrame) -> list[dict[str, Any]]:
    """One object for each model of each fit, the oldest first.

    Args:
        fits: The export's ``fits``.
    """
    return list(_lines(fits))


def history(fits: pd.DataFrame) -> RenderableType:
    """The same for a terminal, a table for each model."""
    by_model: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(fits):
        by_model.setdefault(line["model"], []).append(line)
    parts: list[RenderableType] = []
    for model, lines in by_model.items():
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for heading in ("fit", "when, UTC", "runs", *NUMBERS):
            table.add_column(heading, justify="right" if heading == "fit" else "left")
        for line in lines:
            when, counted = line["when"][:16].replace("T", "\n"), f"{line['n_collapsed']}/{line['n_runs']}"
            numbers = (_number(line[name], positive=name.startswith("C_")) for name in NUMBERS)
            table.add_row(str(line["fit"]), when, Text(f"{counted}\n{line['detector']}"), *map(Text, numbers))
            table.add_row("", Text(", ".join(line["sweeps"])), end_section=True)
        parts += [Text(model, style="bold"), table]
    parts.append(Text(
        "runs: collapsed/finished, and the detector. Below each number: its 95 % interval, or in [ ] the range that "
        "the grid allows.", style="dim"))  # fmt: skip
    return Group(*parts)


def _lines(fits: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in fits.to_dict("records"):
        result = json.loads(row["result"])
        inputs = result.get("inputs") or {}
        for name, model in result.get("models", {}).items():
            cells = model.get("cells", ())
            yield {
                "fit": int(row["fit"]),
                "when": row["created_at"].isoformat(timespec="seconds"),
                "sweeps": json.loads(row["sweeps"]),
                "model": name,
                "detector": row["detector"],
                "n_runs": sum(cell["n_runs"] for cell in cells),
                "n_collapsed": sum(cell["n_collapsed"] for cell in cells),
                "code_version": row["code_version"],
                "code": inputs.get("code"),
                "digest": inputs.get("digest"),
                **{number: _estimate(model, place) for number, place in NUMBERS.items()},
            }


def _estimate(model: Mapping[str, Any], place: tuple[str, str]) -> dict[str, Any]:
    found = model.get(place[0], {}).get(place[1]) or {}
    return {key: found.get(key) for key in ("estimate", "ci95", "identified_set")}


def _number(value: Mapping[str, Any], *, positive: bool) -> str:
    text = short if positive else decimal
    estimate = "–" if value["estimate"] is None else text(value["estimate"])
    span = range_text(value["ci95"] or value["identified_set"], text).replace(" to ", "…\n")
    if not span:
        return estimate
    return f"{estimate}\n{span}" if value["ci95"] else f"{estimate}\n[{span}]"
