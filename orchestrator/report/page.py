"""One HTML page about sweeps: it contains all it needs, has no scripts, and can be read offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.base.files import write_whole
from orchestrator.base.safe_text import redacted
from orchestrator.base.settings import code_version
from orchestrator.base.states import GOING, RESULTS, WITHOUT_RESULT
from orchestrator.laws.evidence import evidence, groups
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.report import figures
from orchestrator.report.advising import ADVICE_COLUMNS, advice_table
from orchestrator.report.figures import style
from orchestrator.report.numbers import duration
from orchestrator.report.text_tables import cell_lines, labels, missing, tables_of
from orchestrator.report.verdicts import left_out_texts, summary
from orchestrator.report.verdicts import verdicts as what_it_says
from orchestrator.store import overview
from orchestrator.store.database import Store

_KINDS = {"sqlite": "a SQLite file", "postgresql": "a PostgreSQL database"}

_TREES = {None: "–", False: "clean", True: "dirty"}

_SCALE = 130
"""Pixels of the page for each inch of a figure."""


def page(store: Store, laws: Laws, runs: pd.DataFrame, model: str | None = None) -> str:
    """Write the page of what was fitted to ``runs``, the export's; with a model, only with attempts of this model."""
    sweeps = list(dict.fromkeys(runs["sweep"]))
    with store.read() as connection:
        database = _KINDS[connection.dialect.name]
        stored = overview.sweeps(connection, sweeps)
        attempts = overview.attempts(connection, sweeps, model)
        made_by = overview.provenance(connection, sweeps, model)
        libraries = overview.versions(connection, sweeps, model)
    states = [state for state in _STATES if (runs["state"] == state).any()]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        version=code_version(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        database=database,
        sweeps=[_sweep(*row) for row in stored],
        models=_models(store, laws, runs),
        advice_columns=ADVICE_COLUMNS,
        states=states,
        runs=_counts(runs, states),
        left_out=[redacted(text) for text in left_out_texts(laws)],
        attempts=[
            (executor, outcome or "not ended", _why(why, outcome), count, duration(seconds))
            for executor, outcome, why, count, seconds in attempts
        ],
        code=[(version, commit or "–", _TREES[dirty], count) for version, commit, dirty, count in made_by["code"]],
        hosts=[(host, device or "–", count) for host, device, count in made_by["hosts"]],
        libraries=[", ".join(f"{name} {one}" for name, one in told.items() if one is not None) for told in libraries],
    )


def write_page(text: str, path: Path) -> None:
    """Write the page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


_STATES = (*RESULTS, *WITHOUT_RESULT, *reversed(GOING))


def _models(store: Store, laws: Laws, runs: pd.DataFrame) -> list[dict[str, Any]]:
    members = dict(groups(evidence(runs)))
    pages = {name: _model(name, model) | {"advice": advice_table(members[name])} for name, model in laws.models.items()}
    for name, drawn in figures.figures_of(store, laws, runs):
        if drawn.figure is None:
            pages[name]["missing"].append(f"No figure “{drawn.title}”. {drawn.caption}")
        else:
            pages[name]["figures"].append(_figure(drawn))
    return list(pages.values())


def _model(name: str, model: ModelLaws) -> dict[str, Any]:
    etas, ks = list(labels(model)), sorted({cell.k for cell in model.cells})
    by_place = {
        (cell.k, cell.eta): {"lines": cell_lines(cell), "share": f"{cell.p_collapse or 0.0:.3f}"}
        for cell in model.cells
    }
    return {
        "name": name,
        "summary": summary(model),
        "verdicts": what_it_says(model),
        "etas": list(labels(model).values()),
        "phase": [(k, [by_place.get((k, eta)) for eta in etas]) for k in ks],
        "tables": tables_of(model)[1:],
        "unpredicted": missing(model),
        "warnings": model.warnings,
        "figures": [],
        "missing": [],
    }


def _figure(drawn: figures.Drawn) -> dict[str, Any]:
    assert drawn.figure is not None
    format, kind = ("png", "png") if drawn.dense else ("svg", "svg+xml")
    data = base64.b64encode(style.content(drawn.figure, format)).decode()
    width, height = drawn.figure.get_size_inches()
    return {
        "title": drawn.title,
        "caption": drawn.caption,
        "source": f"data:image/{kind};base64,{data}",
        "width": round(width * _SCALE),
        "height": round(height * _SCALE),
        "wide": width > style.COLUMN,
    }


def _why(failure_class: str | None, outcome: str | None) -> str:
    return "–" if failure_class is None or failure_class == outcome else failure_class.replace("_", " ")


def _sweep(name: str, source: str, created: datetime, digest: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "created": created.strftime("%Y-%m-%d %H:%M UTC"),
        "digest": digest,
        "what": "What was imported" if source == "import" else "Grid file",
        "text": redacted(text),
    }


def _counts(runs: pd.DataFrame, states: Sequence[str]) -> list[tuple[Any, ...]]:
    counts = pd.crosstab(runs["sweep"], runs["state"], margins=True, margins_name="in all")
    return list(counts.loc[runs["sweep"].unique(), [*states, "in all"]].itertuples(name=None))
