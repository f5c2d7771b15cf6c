"""Stored fits, one line for each model of each: did the numbers change as more runs came?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator.report.verdicts import decimal, short

NUMBERS = {
    "a": ("local", "exponent"),
    "C_local": ("local", "constant"),
    "b": ("horizon", "eta_exponent"),
    "q": ("horizon", "k_exponent"),
    "C_horizon": ("horizon", "constant"),
}
"""What is listed of a fit, and where its JSON has it."""


def history_json(fits: pd.DataFrame) -> list[dict[str, Any]]:
    """One object for each model of each fit, oldest first.

    Args:
        fits: The export's ``fits``.
    """
    return list(_lines(fits))


def history(fits: pd.DataFrame) -> Table:
    """The same for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("fit", "when (UTC)", "sweeps", "model", "detector", "runs", *NUMBERS):
        table.add_column(heading, justify="right" if heading in ("fit", "runs") else "left")
    for line in _lines(fits):
        numbers = (_number(line[name], positive=name.startswith("C_")) for name in NUMBERS)
        counted = f"{line['n_collapsed']}/{line['n_runs']}"
        texts = (
            line["when"][:16].replace("T", " "),
            ", ".join(line["sweeps"]),
            line["model"],
            line["detector"],
            counted,
        )
        table.add_row(str(line["fit"]), *(Text(text) for text in (*texts, *numbers)))
    table.caption = (
        "runs: collapsed/finished; beside each number its 95 % interval, or in brackets what the grid leaves"
    )
    return table


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
    ends = value["ci95"] or value["identified_set"]
    estimate = "–" if value["estimate"] is None else text(value["estimate"])
    if not ends:
        return estimate
    low, high = ("" if end is None else text(end) for end in ends)
    return f"{estimate} {low}…{high}" if value["ci95"] else f"{estimate} [{low}…{high}]"
