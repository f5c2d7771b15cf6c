"""From a database to the laws: which runs are read, under which definition of collapse, and what is kept of a fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from pydantic import ValidationError

from grpo_worker.schema.config import CollapseConfig
from orchestrator.base import provenance
from orchestrator.base.errors import UsageError
from orchestrator.base.settings import code_version
from orchestrator.data import frames, series
from orchestrator.laws.cells import evidence, groups
from orchestrator.laws.collapse import ends_between, never_alive, redetect
from orchestrator.laws.detectors import STORED, compare
from orchestrator.laws.early import METRICS, first_steps
from orchestrator.laws.fit import fit_evidence
from orchestrator.laws.regimes import Regime, regime
from orchestrator.laws.result import Comparison, Laws, ModelLaws
from orchestrator.store import fits
from orchestrator.store.store import Store

DETECTORS = (STORED, "half", "zero")


@dataclass(frozen=True, slots=True)
class Definition:
    """When a run counts as collapsed.

    Attributes:
        detector: One of `DETECTORS`.
        fraction: Of ``half``; None = what the runs were trained with.
        min_evals: Of ``half`` and ``zero``; None = what the runs were trained with.
    """

    detector: str = STORED
    fraction: float | None = None
    min_evals: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Fitted:
    """A fit of stored runs.

    Attributes:
        laws: What was fitted.
        runs: The runs that were read, as they count under the chosen definition of collapse.
        sweeps: The sweeps that they are of.
    """

    laws: Laws
    runs: pd.DataFrame
    sweeps: tuple[str, ...]


def fit(
    store: Store, sweeps: Sequence[str], *, model: str | None = None, definition: Definition | None = None
) -> Fitted:
    """Fit the runs of some sweeps under one definition of collapse, and beside it under every other.

    Args:
        store: The database. Nothing is written to it.
        sweeps: Names of sweeps.
        model: Only runs of this model.
        definition: When a run counts as collapsed; None = as it was stored.

    Raises:
        UsageError: The definition cannot be.
        SelectionError: There is no sweep of such a name.
    """
    definition = definition or Definition()
    detectors = _detectors(store, sweeps, definition)
    runs = frames.runs(store, sweeps)
    if model is not None:
        runs = runs[runs["model"] == model].reset_index(drop=True)
    syncs = series.syncs(store, sweeps, ("reward", "drift_from_start"), model=model)
    evals = series.evals(store, sweeps, model=model)
    counted = {STORED: runs} | {name: redetect(one, runs, evals, syncs) for name, one in detectors.items()}
    rows = {name: evidence(of_definition) for name, of_definition in counted.items()}
    fits = _fit_each(rows, definition.detector)
    chosen = fits[definition.detector]
    early = series.syncs(store, sweeps, METRICS, model=model, until=_first_steps(rows[STORED]))
    drifts = syncs[["run", "learner_step", "drift_from_start"]]
    between, nothing = set(ends_between(evals)), set(never_alive(evals))
    by_group = {name: dict(groups(of_definition)) for name, of_definition in rows.items()}
    models = {}
    for group, model_laws in chosen.models.items():
        members = {name: _finished(of_definition[group]) for name, of_definition in by_group.items()}
        decided = {name: int(of["decided"].sum()) if "decided" in of else 0 for name, of in members.items()}
        n_between, n_nothing = (sum(run in found for run in members[STORED]["run"]) for found in (between, nothing))
        models[group] = _with_more(
            model_laws,
            regime(members[definition.detector], drifts, early) if len(members[STORED]) else None,
            compare(
                {name: laws.models[group] for name, laws in fits.items()},
                decided,
                n_between if len(evals) else None,
                n_nothing,
            ),
        )
    inputs = _inputs(rows, definition, detectors, model)
    return Fitted(replace(chosen, models=models, inputs=inputs), counted[definition.detector], tuple(sweeps))


def save(store: Store, fitted: Fitted) -> int | None:
    """Store a fit with its inputs, unless the same runs were fitted alike by this code before.

    Returns:
        Its number; None where no run has finished, so that there is nothing to keep.

    Raises:
        StoreError: The database takes no writes.
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
    """Every definition that can be applied again; what is not asked for is as the runs were trained with."""
    if definition.detector not in DETECTORS:
        raise UsageError(f"--detector: expected stored, half or zero, found {definition.detector!r}")
    if definition.detector != "half" and definition.fraction is not None:
        raise UsageError("--fraction belongs to --detector half: name that too")
    if definition.detector == STORED and definition.min_evals is not None:
        raise UsageError("--min-evals belongs to --detector half or zero: name one of them too")
    trained_with = fits.detector_settings(store, sweeps)
    # Runs that were trained with several settings, or elsewhere, are compared by the default ones.
    usual = CollapseConfig(**trained_with[0]) if len(trained_with) == 1 else CollapseConfig()
    found = {}
    for name in DETECTORS[1:]:
        wanted = {"detector": name, "fraction": usual.fraction, "min_evals": usual.min_evals}
        if name == definition.detector:
            asked = {"fraction": definition.fraction, "min_evals": definition.min_evals}
            wanted |= {option: value for option, value in asked.items() if value is not None}
        try:
            found[name] = CollapseConfig.model_validate(wanted)
        except ValidationError as error:
            (first, *_) = error.errors()
            option = str(first["loc"][0]).replace("_", "-")
            raise UsageError(f"--{option}: {first['msg']} (found {first['input']})") from error
    return found


def _fit_each(rows: Mapping[str, pd.DataFrame], chosen: str) -> dict[str, Laws]:
    """Fit under each definition, briefly but for the chosen one; where two agree on every run, once."""
    fits: dict[str, Laws] = {}
    outcomes: dict[str, pd.DataFrame] = {}
    for name in sorted(rows, key=lambda name: name != chosen):
        outcome = rows[name].set_index("run")[["state", "lo", "hi"]].sort_index()
        same = next((other for other, seen in outcomes.items() if outcome.equals(seen)), None)
        fits[name] = fits[same] if same else fit_evidence(rows[name], brief=name != chosen)
        outcomes[name] = outcome
    return {name: fits[name] for name in rows}


def _finished(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["why"] == ""]


def _first_steps(rows: pd.DataFrame) -> int:
    """The last learner step that any group of runs reads for early warnings."""
    shortest = _finished(rows).groupby(["model", "group"])["horizon"].min()
    return max((first_steps(int(horizon))[-1] for horizon in shortest if first_steps(int(horizon))), default=0)


def _with_more(laws: ModelLaws, of_syncs: Regime | None, side_by_side: Comparison) -> ModelLaws:
    fragile = tuple(f"Fragile: {sentence}" for sentence in side_by_side.fragile)
    return replace(
        laws, regime=of_syncs, detectors=side_by_side, warnings=(*fragile, *laws.warnings, *side_by_side.notes)
    )


def _inputs(
    rows: Mapping[str, pd.DataFrame],
    definition: Definition,
    detectors: Mapping[str, CollapseConfig],
    model: str | None,
) -> dict[str, Any]:
    """What decides a result: what every run says under every definition, the options, the code. No names or numbers.

    The same runs give the same digest in another database too.
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
