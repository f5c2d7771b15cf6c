"""Fits of stored runs: which runs are read, how collapse is defined, and what is kept of a fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from pydantic import ValidationError

from grpo_worker.schema.config import CollapseConfig
from orchestrator.base import provenance
from orchestrator.base.errors import UsageError
from orchestrator.base.settings import code_version
from orchestrator.data import frames, measured
from orchestrator.laws.collapse import DETECTORS, redetect
from orchestrator.laws.detectors import STORED, Metrics, fit_definitions, last_early_step
from orchestrator.laws.early_warnings import METRICS
from orchestrator.laws.evidence import evidence
from orchestrator.laws.result import Laws
from orchestrator.store import fits
from orchestrator.store.database import Store


@dataclass(frozen=True, slots=True)
class Definition:
    """When a run counts as collapsed; None stands for the setting that the runs were trained with."""

    detector: str = STORED  # or one of DETECTORS
    fraction: float | None = None  # of half
    min_evals: int | None = None  # of half and zero


@dataclass(frozen=True, eq=False, slots=True)
class Fitted:
    """A fit of the stored runs of some sweeps; ``runs`` have their states under the chosen definition of collapse."""

    laws: Laws
    runs: pd.DataFrame
    sweeps: tuple[str, ...]


def fit(
    store: Store, sweeps: Sequence[str], *, model: str | None = None, definition: Definition | None = None
) -> Fitted:
    """Fit the runs of some sweeps, or of one model in them, under one definition of collapse; nothing is written.

    They are also fitted under all other definitions, for comparison. None = as it was stored.

    Raises:
        UsageError: The definition is not possible.
        SelectionError: There is no sweep with this name.
    """
    definition = definition or Definition()
    detectors = _detectors(store, sweeps, definition)
    runs = frames.runs(store, sweeps)
    if model is not None:
        runs = runs[runs["model"] == model].reset_index(drop=True)
    syncs = measured.syncs(store, sweeps, ("reward", "drift_from_start"), model=model)
    evals = measured.evals(store, sweeps, model=model)
    counted = {STORED: runs} | {name: redetect(one, runs, evals, syncs) for name, one in detectors.items()}
    rows = {name: evidence(of_definition) for name, of_definition in counted.items()}
    early = measured.syncs(store, sweeps, METRICS, model=model, until=last_early_step(rows[STORED]))
    metrics = Metrics(evals, syncs[["run", "learner_step", "drift_from_start"]], early)
    laws = fit_definitions(rows, metrics, definition.detector)
    inputs = _inputs(rows, definition, detectors, model)
    return Fitted(replace(laws, inputs=inputs), counted[definition.detector], tuple(sweeps))


def save(store: Store, fitted: Fitted) -> int | None:
    """Store a fit with its inputs, unless this code has fitted the same runs in the same way before.

    Returns the fit's number; None if no run has finished.

    Raises:
        StoreError: The database cannot be written.
    """
    runs = fitted.runs[~fitted.runs["run"].isin([left.run for left in fitted.laws.left_out])]
    if runs.empty:
        return None
    return fits.save(
        store,
        sweeps=list(fitted.sweeps),
        run_ids=sorted(runs["run"].tolist()),
        detector=", ".join(sorted(runs["collapse_detector"].dropna().unique())),
        result=fitted.laws.to_json(),
    )


def _detectors(store: Store, sweeps: Sequence[str], definition: Definition) -> dict[str, CollapseConfig]:
    """All definitions that can be applied again. Settings that are not given are those of the runs' training."""
    if definition.detector not in (allowed := (STORED, *DETECTORS)):
        raise UsageError(f"--detector: expected one of {', '.join(allowed)}, found {definition.detector!r}")
    if definition.detector != "half" and definition.fraction is not None:
        raise UsageError("--fraction needs --detector half")
    if definition.detector == STORED and definition.min_evals is not None:
        raise UsageError("--min-evals needs --detector half or --detector zero")
    trained_with = fits.detector_settings(store, sweeps)
    # Runs with several settings, or trained elsewhere, are compared with the default settings.
    usual = CollapseConfig(**trained_with[0]) if len(trained_with) == 1 else CollapseConfig()
    found = {}
    for name in DETECTORS:
        wanted = {"detector": name, "fraction": usual.fraction, "min_evals": usual.min_evals}
        if name == definition.detector:
            wanted |= {option: value for option, value in asdict(definition).items() if value is not None}
        try:
            found[name] = CollapseConfig.model_validate(wanted)
        except ValidationError as error:
            (first, *_) = error.errors()
            option = str(first["loc"][0]).replace("_", "-")
            raise UsageError(f"--{option}: {first['msg']} (found {first['input']})") from error
    return found


def _inputs(
    rows: Mapping[str, pd.DataFrame], definition: Definition, detectors: Mapping[str, CollapseConfig], model: str | None
) -> dict[str, Any]:
    """What decides a result: the evidence of every run under every definition, the options, and the code.

    Names and numbers of runs are not part of it, so the same runs give the same digest in another database.
    """
    digest = hashlib.sha256()
    columns = ["model", "group", "k", "eta", "seed", "horizon", "state", "lo", "hi"]
    for name, of_definition in rows.items():
        counted = of_definition.loc[of_definition["bounds"], columns].sort_values(columns)
        digest.update(f"{name}\n{counted.to_csv(index=False)}".encode())
    options = {"detector": definition.detector, "model": model}
    settings = {name: {"fraction": one.fraction, "min_evals": one.min_evals} for name, one in detectors.items()}
    digest.update(json.dumps([options, settings], sort_keys=True).encode())
    checkout = provenance.checkout()
    code = {"version": code_version(), "commit": str(checkout) if checkout else None}
    if checkout and checkout.dirty:
        code["changes"] = hashlib.sha256(checkout.diff).hexdigest()[:16]
    return {"digest": digest.hexdigest(), **options, "detectors": settings, "code": code}
