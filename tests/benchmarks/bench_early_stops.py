"""What an alarm saves, and how often it is wrong: set by the runs of some seeds, sounded on those of the others.

    .venv/bin/python -m tests.benchmarks.make_dense --db sqlite:///stalesweep-runs/dense.db    # once: 25 minutes
    .venv/bin/python -m tests.benchmarks.bench_early_stops --db sqlite:///stalesweep-runs/dense.db

First alone: of the eight seeds of every cell four, drawn anew in each repetition, set the alarm; the runs of the other
four are ended where it sounds, one rollout cycle after the steps that it reads. Saved are the learner steps that they
had left. Then in searches, replayed as bench_search does, one run at a time, without a pilot and with one of 60 runs
near the boundary, which set the alarm and tell the search nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from orchestrator.data import frames, measured
from orchestrator.grid.sweep import Sweep
from orchestrator.laws.cells import evidence
from orchestrator.laws.early_warnings import METRICS, first_steps
from orchestrator.laws.weight_syncs import weight_syncs
from orchestrator.search.alarm import Alarm, alarm
from orchestrator.search.search import Key, Search, key_of
from orchestrator.search.searchfile import SearchConfig, load_search
from orchestrator.store import outcomes
from orchestrator.store.store import Outcome, Store
from tests.benchmarks.bench_search import SEARCH
from tests.benchmarks.make_dense import GRID

RATES = (0.05, 0.1, 0.2)
NEAR = {2: 1.33e-3, 8: 5.82e-4, 32: 5.0e-4}
"""η at which half of the runs collapse, by k: a search makes most runs within a factor of two of it."""


@dataclass
class Tally:
    """What happened over all repetitions."""

    alarms: int = 0
    stable: int = 0
    stopped_stable: int = 0
    collapsed: int = 0
    stopped_collapsed: int = 0
    steps: int = 0
    saved: float = 0.0

    def add(self, found: Alarm | None, runs: pd.DataFrame, syncs: pd.DataFrame) -> None:
        """End runs where the alarm sounds."""
        collapsed, steps = runs["collapsed"].to_numpy(), runs["learner_steps"].to_numpy(dtype=float)
        self.stable += int((~collapsed).sum())
        self.collapsed += int(collapsed.sum())
        self.steps += int(steps.sum())
        if found is None:
            return
        self.alarms += 1
        values = found.values(weight_syncs(syncs, runs, whole=False))
        at = found.steps + runs["k"].to_numpy(dtype=float)
        stopped = found.is_loud(values) & (at < steps)
        self.stopped_stable += int((stopped & ~collapsed).sum())
        self.stopped_collapsed += int((stopped & collapsed).sum())
        self.saved += float((steps - at)[stopped].sum())


@dataclass(frozen=True)
class Dense:
    """The stored runs.

    Attributes:
        rows: Evidence, by run.
        syncs: Their first weight syncs.
        ended: How each ended, by k, η and seed.
    """

    rows: pd.DataFrame
    syncs: pd.DataFrame
    ended: dict[tuple[int, float, int], Outcome]

    def alarm(self, runs: set[int], rate: float) -> Alarm | None:
        """Set by some of them."""
        chosen = self.rows[self.rows["run"].isin(runs)].reset_index(drop=True)
        return alarm(chosen, weight_syncs(self.syncs, chosen, whole=False), rate) if len(chosen) else None

    def is_loud(self, found: Alarm, run: int) -> bool:
        """Whether it sounds on one."""
        chosen = self.rows[self.rows["run"] == run].reset_index(drop=True)
        return bool(found.is_loud(found.values(weight_syncs(self.syncs, chosen, whole=False)))[0])


def searched(
    dense: Dense, sweep: Sweep, wanted: SearchConfig, number: int, rate: float, pilot: int
) -> tuple[int, int, int, int, int]:
    """Learner steps and runs of a search, how many were ended, how many of them wrongly, how many intervals held."""
    draw = np.random.default_rng(number)
    cells = sorted({(k, eta) for k, eta, _ in dense.ended})
    order = {cell: draw.permutation(8) for cell in cells}
    near = [(k, eta, seed) for k, eta in cells if 0.5 <= eta / NEAR[k] <= 2.0 for seed in range(8)]
    fair = {dense.ended[near[at]].run_id for at in draw.choice(len(near), pilot, replace=False)}
    search, taken, steps, ended, wrong = Search(sweep, wanted), set[Key](), 0, 0, 0
    set_off = dense.alarm(fair, rate)
    while not search.done and (chosen := search.choose(taken, number=1)):
        cell = chosen[0].cell.k, chosen[0].cell.eta
        taken.add(key_of(chosen[0]))
        one = replace(dense.ended[*cell, int(order[cell][chosen[0].seed])], seed=chosen[0].seed)
        if set_off and one.learner_steps > set_off.steps + one.k and dense.is_loud(set_off, one.run_id):
            ended, wrong = ended + 1, wrong + (one.collapse_step is None)
            one = replace(one, learner_steps=set_off.steps + one.k, collapse_step=None, warned=True)
        elif not ended:
            fair.add(one.run_id)
            set_off = dense.alarm(fair, rate)
        search = search.then([one], dict.fromkeys(search.horizons, set_off.odds) if set_off else {})
        steps += one.learner_steps
    held = sum(one.interval[0] <= NEAR[one.k] <= one.interval[1] for one in search.answers() if one.k)
    return steps, len(taken), ended, wrong, held


def main() -> None:
    """Print a line for each rate and each choice of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="sqlite:///dense.db")
    parser.add_argument("--repetitions", type=int, default=40)
    options = parser.parse_args()
    with Store(options.db) as store:
        runs = evidence(frames.runs(store, ["dense"])).sort_values("run", ignore_index=True)
        syncs = measured.syncs(store, ["dense"], METRICS, until=first_steps(int(runs["horizon"].min()))[-1])
        ended = {(one.k, one.eta, one.seed): one for one in outcomes.outcomes(store, ["tiny"])}
    runs["learner_steps"] = runs["learner_steps"].astype(float)
    factor = runs["eta"] / runs["k"].map(NEAR)
    for name, chosen in {"all cells": runs, "within a factor of 2": runs[factor.between(0.5, 2.0)]}.items():
        for rate in RATES:
            tally = Tally()
            for repetition in range(options.repetitions):
                setting = np.random.default_rng(repetition).permutation(8)[:4]
                sets = chosen["seed"].isin(setting)
                pilot, rest = (chosen[mask].reset_index(drop=True) for mask in (sets, ~sets))
                tally.add(alarm(pilot, weight_syncs(syncs, pilot, whole=False), rate), rest, syncs)
            print(
                f"{name}, {100 * rate:g} % asked: an alarm in {tally.alarms} of {options.repetitions}; ended "
                f"{100 * tally.stopped_stable / tally.stable:.1f} % of the stable and "
                f"{100 * tally.stopped_collapsed / tally.collapsed:.1f} % of the collapsing runs, "
                f"saved {100 * tally.saved / tally.steps:.1f} % of the learner steps"
            )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dense.yaml"
        file.write_text(GRID + SEARCH)
        sweep, wanted = load_search(file)
    dense = Dense(runs, syncs, ended)
    for pilot in (0, 60):
        for rate in (0.0, *RATES):
            found = [searched(dense, sweep, wanted, number, rate, pilot) for number in range(options.repetitions)]
            steps, made, stopped, wrong, held = np.array(found).T
            print(
                f"search, pilot of {pilot}, {100 * rate:g} % asked: {np.median(steps):,.0f} learner steps, "
                f"{made.mean():.1f} runs, {stopped.mean():.1f} of them ended, {wrong.mean():.2f} wrongly; "
                f"{100 * held.mean() / 3:.1f} % of intervals held"
            )


if __name__ == "__main__":
    main()
