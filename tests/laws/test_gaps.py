"""What to run next: cells and seeds by name, and running them identifies the laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from orchestrator.laws.fit import fit_laws
from orchestrator.laws.gaps import Gap, Next, Tried, merged
from orchestrator.laws.result import ModelLaws
from tests.support.laws_data import frame, run


def fit(rows: list[dict[str, object]]) -> ModelLaws:
    return fit_laws(frame(rows)).models["tiny"]


TRIED = Tried.of(pd.DataFrame({"k": [2, 2, 8], "eta": [1e-3, 5e-4, 1e-3], "seed": [0, 4, 1], "horizon": [64, 64, 96]}))


def test_cells_are_named_with_seeds_that_they_do_not_have() -> None:
    assert TRIED.again([(2, 1e-3), (8, 1e-3), (2, 1e-3)]) == (Next(2, 1e-3, (1, 2)), Next(8, 1e-3, (0, 2)))
    assert TRIED.above([8]) == (Next(8, 2e-3, (0, 1, 4)),)
    assert TRIED.below([2, 8]) == (Next(2, 2.5e-4, (0, 1, 4)), Next(8, 5e-4, (0, 1, 4)))
    assert TRIED.another_k([1e-3]) == (Next(32, 1e-3, (0, 1, 4)),)
    assert TRIED.longer([(8, 1e-3)]) == (Next(8, 1e-3, (1,), 192),)
    assert TRIED.again([(8, 5e-4)]) == (Next(8, 5e-4, (0, 1, 4)),), "a cell that was never run"


def test_a_new_cell_has_replicates_where_the_others_have_none() -> None:
    one_seed = Tried.of(pd.DataFrame({"k": [2], "eta": [1e-3], "seed": [1], "horizon": [64]}))
    assert one_seed.above([2]) == (Next(2, 2e-3, (0, 1, 2)),)


def test_sentences_list_cells_with_the_same_seeds_together() -> None:
    runs = (Next(2, 1e-3, (0, 1, 2)), Next(2, 5e-4, (0, 1, 2)), Next(8, 1e-3, (0, 1, 2)), Next(32, 1e-3, (4,), 1280))
    assert str(Gap("It is open.", runs)) == (
        "It is open. Run k=2 at eta=0.001 and 0.0005, k=8 at eta=0.001 with seeds 0, 1 and 2; "
        "k=32 at eta=0.001 with seed 4 for 1,280 learner steps."
    )
    assert str(Gap("It is so.")) == "It is so."


def test_each_run_is_named_once() -> None:
    gaps = [Gap("One.", (Next(8, 1e-3, (2, 3)), Next(2, 1e-3, (0,)))), Gap("Two.", (Next(8, 1e-3, (3, 4)),))]
    assert merged(gaps) == (Next(2, 1e-3, (0,)), Next(8, 1e-3, (2, 3, 4)))


def outcome(k: int, eta: float, seed: int, horizon: int) -> dict[str, object]:
    """One run of a world with a boundary at k·η = 4e-3 and T* near 0.06/η beyond it."""
    draw = np.random.default_rng([k, round(eta * 1e9), seed])
    immune = draw.random() > 1 / (1 + np.exp(-6 * np.log(eta * k / 4e-3)))
    seen = 8 * int(np.ceil(0.06 / eta * np.exp(0.3 * draw.standard_normal()) / 8))
    step = None if immune or seen > horizon else seen
    return run(k, eta, seed, step, horizon=horizon, collapse_step_lo=step and step - 8)


STARTS = {
    "one run": [(8, 1e-3)],
    "all stable": [(2, 2.5e-4), (8, 2.5e-4)],
    "all collapse": [(8, 4e-3), (32, 4e-3)],
    "one k": [(8, 2.5e-4), (8, 1e-3)],
    "one eta": [(2, 1e-3), (32, 1e-3)],
}


@pytest.mark.parametrize("start", STARTS)
def test_running_what_is_named_identifies_the_laws(start: str) -> None:
    """From little data, at most a dozen rounds of running what is named identify both laws."""
    made = {(k, eta, 0, 480): outcome(k, eta, 0, 480) for k, eta in STARTS[start]}
    for _ in range(12):
        model = fit(list(made.values()))
        if model.joint.exponent.ci95 and None not in model.joint.exponent.ci95:
            break
        assert model.next_runs, model.warnings
        for todo in model.next_runs:
            for seed in todo.seeds:
                key = todo.k, todo.eta, seed, todo.horizon or 480
                assert key not in made, "this run exists already"
                made[key] = outcome(*key)
    for found in (model.joint.exponent, model.joint.horizon.eta_exponent):
        assert found.ci95[0] < 1.2 and found.ci95[1] > 0.8
