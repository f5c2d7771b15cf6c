"""Stored fits, each kept once for its inputs and code; and the collapse settings that the fitted runs used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, text

from orchestrator.base.settings import code_version
from orchestrator.store.database import reads, writes
from orchestrator.store.models import CellRow, Fit, RunRow, SweepRow
from orchestrator.store.types import now


@writes
def save(
    connection: Connection, *, sweeps: list[str], run_ids: list[int], detector: str, result: Mapping[str, Any]
) -> int:
    """Store a fit with its inputs; one of the same sweeps and runs with equal ``result["inputs"]`` is kept once.

    ``run_ids`` entered it, and ``result`` is the JSON of `fit-laws`, in which None stands for what is not identified.
    Returns the fit's id.

    Raises:
        ValueError: The result holds NaN or an infinity, which is not JSON.
    """
    json.dumps(result, allow_nan=False)  # Postgres refuses it, SQLite does not
    values = {"sweeps": sweeps, "run_ids": run_ids, "detector": detector, "code_version": code_version()}
    inputs = result.get("inputs")
    if inputs is not None:
        if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyhow
            connection.execute(text("LOCK TABLE fit IN SHARE ROW EXCLUSIVE MODE"))
        same_digest = Fit.result["inputs"]["digest"].as_string() == inputs["digest"]
        stored = select(Fit.id, Fit.sweeps, Fit.run_ids, Fit.detector, Fit.code_version, Fit.result["inputs"])
        for fit_id, *before, its_inputs in connection.execute(stored.where(same_digest).order_by(Fit.id)):
            if before == list(values.values()) and its_inputs == inputs:
                return int(fit_id)
    new = insert(Fit).values(**values, result=dict(result), created_at=now()).returning(Fit.id)
    return int(connection.execute(new).scalar_one())


@reads
def detector_settings(connection: Connection, sweeps: Sequence[str]) -> list[dict[str, Any]]:
    """List the different settings of the collapse detector that runs of sweeps were trained with."""
    collapse = RunRow.config["collapse"]
    settings = (collapse["fraction"].as_float(), collapse["min_evals"].as_integer())
    of_sweeps = select(*settings).distinct().join(CellRow, CellRow.id == RunRow.cell_id).join(SweepRow)
    rows = connection.execute(of_sweeps.where(SweepRow.name.in_(list(sweeps))))
    known = sorted((fraction, least) for fraction, least in rows if fraction is not None and least is not None)
    return [{"fraction": fraction, "min_evals": least} for fraction, least in known]
