"""Runs that were stopped early: censored where they were last seen alive, in no share, and never collapsed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grpo_worker.schema.config import CollapseConfig
from orchestrator.laws.collapse import redetect
from orchestrator.laws.evidence import evidence
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.result import ModelLaws
from orchestrator.report.verdicts import left_out_texts
from tests.support.laws_data import frame, run, simulated

STOPPED = {"state": "cancelled", "failure_class": "predicted_collapse", "collapse_detector": None}
C_HORIZON = 0.04


def fit(runs: pd.DataFrame) -> ModelLaws:
    return fit_laws(runs).models["tiny"]


def test_it_says_only_how_long_it_was_alive() -> None:
    runs = frame(
        [
            run(8, 1e-3, 0, None, **STOPPED, learner_steps=120),
            run(8, 1e-3, 1, None, **STOPPED, learner_steps=120, collapse_step_lo=64),
            run(8, 1e-3, 2, None, **STOPPED, learner_steps=120, collapse_step_lo=0),
            run(8, 1e-3, 3, 40, collapse_step_lo=32),
        ]
    )
    rows = evidence(runs).set_index("run")
    assert rows["lo"].to_dict() == {1: 120, 2: 64, 3: 0, 4: 32}
    assert rows["bounds"].to_dict() == {1: True, 2: True, 3: False, 4: True}
    assert np.isinf(rows.loc[[1, 2, 3], "hi"]).all()
    laws = fit_laws(runs)
    [cell] = laws.models["tiny"].cells
    assert (cell.n_runs, cell.n_collapsed, cell.n_left_out) == (1, 1, 3)
    assert laws.models["tiny"].horizon.censored.n_censored == 2
    assert [(one.run, one.why) for one in laws.left_out] == [
        (number, "stopped early by a search: a collapse was predicted") for number in (1, 2, 3)
    ]


def test_reasons_that_differ_run_by_run_are_not_listed_run_by_run() -> None:
    stops = [run(8, 1e-3, seed, **{**STOPPED, "failure": f"reward {seed}"}) for seed in range(4)]  # type: ignore[arg-type]
    failed = run(8, 1e-3, 9, state="failed", failure="out of memory")
    assert left_out_texts(fit_laws(frame([*stops, failed]))) == [
        "failed: out of memory (run 5)",
        "stopped early by a search: a collapse was predicted (runs 1, 2, 3, 4)",
    ]


@pytest.mark.parametrize(("detector", "alive"), [("half", 16), ("zero", 24)])
def test_another_definition_of_collapse_finds_another_end(detector: str, alive: int) -> None:
    runs = frame([run(8, 1e-3, 0, None, **STOPPED, learner_steps=40, collapse_step_lo=8)])
    steps = [0, 8, 16, 24, 32]
    evals = pd.DataFrame({"run": 1, "learner_step": steps, "val_reward": [0.6, 0.5, 0.3, 0.2, np.nan]})
    syncs = pd.DataFrame({"run": 1, "learner_step": steps, "reward": [0.6, 0.5, 0.3, 0.2, 0.0]})
    found = redetect(CollapseConfig(detector=detector, min_evals=1), runs, evals, syncs)  # type: ignore[arg-type]
    assert found["state"].tolist() == ["cancelled"], "its state does not change, whatever its reward"
    assert evidence(found)["lo"].tolist() == [alive]
    unseen = redetect(CollapseConfig(detector=detector), runs, evals[:0], syncs[:0])  # type: ignore[arg-type]
    assert evidence(unseen)["lo"].tolist() == [8]


def stopped_at_random(runs: pd.DataFrame, seed: int, *, as_collapsed: bool) -> pd.DataFrame:
    """Half of the runs are stopped at a random step, if they reach it."""
    draw = np.random.default_rng(1000 + seed)
    runs = runs.copy()
    at = 8 * np.round(draw.uniform(8, 240, len(runs)) / 8)
    ends = runs["collapse_step"].fillna(runs["horizon"]).to_numpy(dtype=float)
    chosen = (draw.random(len(runs)) < 0.5) & (at < ends)
    at = at.astype(int)
    if as_collapsed:
        runs.loc[chosen, "state"] = "collapsed"
        runs.loc[chosen, "collapse_step"], runs.loc[chosen, "collapse_step_lo"] = at[chosen], at[chosen] - 8
        return runs
    runs.loc[chosen, ["collapse_step", "collapse_step_lo"]] = pd.NA
    runs.loc[chosen, ["state", "failure_class"]] = "cancelled", "decided"
    runs.loc[chosen, "learner_steps"] = at[chosen]
    return runs


def test_stops_that_foresee_nothing_do_not_move_the_horizon_constant() -> None:
    found: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(6):
        runs = simulated(1.0, 0.0, 0.2, seed)
        for as_collapsed, constants in found.items():
            model = fit(stopped_at_random(runs, seed, as_collapsed=as_collapsed))
            constants.append(model.horizon.censored.constant.estimate or np.nan)
    censored, counted = np.log(np.array(found[False]) / C_HORIZON), np.log(np.array(found[True]) / C_HORIZON)
    assert abs(censored.mean()) < 0.03
    assert (np.abs(censored) < 0.1).all()
    assert (counted < -0.1).all(), "counted as collapsed, they do"


def with_stops(**fields: object) -> pd.DataFrame:
    """Two k, three η, four seeds: all collapse at the largest η, none at the smallest; between, half were stopped."""
    rows = []
    for k, middle in ((8, 5e-4), (32, 1.25e-4)):
        for seed in range(4):
            rows.append(run(k, middle / 2, seed))
            rows.append(run(k, 2 * middle, seed, 100, collapse_step_lo=92))
            is_stopped = seed < 2
            more = {**STOPPED, "learner_steps": 80, **fields} if is_stopped else {}
            rows.append(run(k, middle, seed, **more))  # type: ignore[arg-type]
    return frame(rows)


def test_people_are_told_how_many_were_stopped_and_what_that_does() -> None:
    [said] = [text for text in fit_laws(with_stops()).models["tiny"].warnings if "stopped" in text]
    assert said.startswith("4 runs (k=8: 2, k=32: 2) stopped early because a collapse was predicted.")
    assert "excluded from the cell counts" in said and "look larger" in said


def test_runs_that_had_nothing_left_to_decide_are_counted_apart() -> None:
    runs = with_stops(failure_class="decided")
    [said] = [text for text in fit_laws(runs).models["tiny"].warnings if "stopped" in text]
    assert said.startswith("4 runs (k=8: 2, k=32: 2) stopped early because nothing was left to decide")
    runs.loc[(runs["seed"] == 0) & (runs["state"] == "cancelled"), "learner_steps"] = 0
    [said] = [text for text in fit_laws(runs).models["tiny"].warnings if "stopped" in text]
    assert said.startswith("2 runs (k=8: 1, k=32: 1) stopped early"), "a run that never began is not counted"
