"""What is simulated before it is paid for: widths, costs, budgets that bind, and boundaries that are not there."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from orchestrator.grid.sweep import Run, Sweep
from orchestrator.jobs.estimate import StepTime
from orchestrator.search.beliefs import Goal, Seen
from orchestrator.search.search import Search, group_of, key_of
from orchestrator.search.search_file import load_search
from orchestrator.search.simulation import LARGER, SEARCH, Design, PowerPlan, Simulated, simulate, simulate_search
from orchestrator.store.outcomes import Outcome

FILE = """
grid:
  {model: [tiny], k: [2, 16], eta: {logspace: {start: 2e-4, stop: 6.4e-3, num: 6}}, seed: {range: {start: 0, stop: 12}}}
fixed: {horizon: 480}
resources: {gpus: 2, time_min: 60}
search: {learner_steps: 100000}
"""
KS, ETAS = (2, 16), np.geomspace(2e-4, 6.4e-3, 6)

Planned = Callable[..., PowerPlan]


def ended(run: Run, step: int | None) -> Outcome:
    config = run.config.model_dump(mode="json")
    steps = 480 if step is None else min(step + 24, 480)
    return Outcome(*group_of(run), run.cell.k, run.cell.eta, run.seed, steps, step, config)


def collapses(run: Run) -> int | None:
    """A boundary at 1.2e-3 for k=2 and at 5e-4 for k=16; T* is 0.1/η."""
    return math.ceil(0.1 / run.cell.eta) if run.cell.eta > {2: 1.2e-3, 16: 5e-4}[run.cell.k] else None


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    def make(
        text: str = FILE,
        replicates: tuple[int, ...] = (),
        pilot: Callable[[Sweep], list[Outcome]] = lambda sweep: [],
        searched: bool = True,
        seed: int = 0,
        pace: StepTime | None = None,
    ) -> PowerPlan:
        (tmp_path / "edge.yaml").write_text(text)
        sweep, wanted = load_search(tmp_path / "edge.yaml")
        known = Search(sweep, wanted)
        known.learn(pilot(sweep))
        return PowerPlan(known, searched, replicates, {"tiny": pace} if pace else {}, seed)

    return make


def first_seeds(sweep: Sweep) -> list[Outcome]:
    return [ended(run, collapses(run)) for run in sweep.runs if run.seed < 2]


def designs_of(plan: PowerPlan, simulations: int = 12) -> dict[str, Design]:
    return {design.name: design for design in simulate(plan, simulations, 1, lambda: None)}


def test_widths_are_those_of_drawn_grids(planned: Planned) -> None:
    """Grids drawn and weighed here, a cell at a time, are known as well as the plan says."""
    plan = planned(pilot=first_seeds, replicates=(6,), searched=False)
    (grid,) = designs_of(plan, 60).values()
    (before,) = (one.beliefs for one in plan.known.groups.values())
    draw, widths = np.random.default_rng(7), []
    for _ in range(60):
        truth, seen = before.drawn(draw), []
        for k in KS:
            for eta in ETAS:
                collapsed = int(draw.binomial(4, truth.p_collapse(k, float(eta))))  # beside the two that are stored
                seen.append(Seen(k, float(eta), collapsed, 4 - collapsed))
        after = before.after(seen)
        intervals = [after.interval(Goal("eta_max", math.inf, k), 0.95) for k in KS]
        widths.append([(high - low) / 2 for low, high in intervals])
    for known, drawn in zip(grid.known, np.median(widths, axis=0), strict=False):
        assert known.in_range > 0.9 and known.half_width
        assert known.half_width.median == pytest.approx(drawn, rel=0.15)
    assert grid.runs.median == grid.runs.most == 2 * 6 * 4


def test_more_replicates_narrow_and_cost(planned: Planned) -> None:
    grids = list(designs_of(planned(pilot=first_seeds, replicates=(1, 4, 16), searched=False)).values())
    assert [grid.runs.median for grid in grids] == [0, 24, 168], "two runs a cell are stored"
    for few, more in pairwise(grids):
        assert few.learner_steps.median < more.learner_steps.median
        for one, other in zip(few.known, more.known, strict=True):
            assert one.half_width and other.half_width and one.half_width.median > other.half_width.median
    assert np.mean([grid.held for grid in grids]) > 0.85


def test_what_is_asked_of_a_search_ends_it_or_its_budget(planned: Planned) -> None:
    enough = designs_of(planned(pilot=first_seeds))
    assert list(enough) == [SEARCH] and enough[SEARCH].reached > 0.7
    most = enough[SEARCH].learner_steps.median
    budget = int(most / 3)
    tight = designs_of(planned(FILE.replace("100000", str(budget)), pilot=first_seeds))
    assert tight[SEARCH].learner_steps.most < budget + 2 * 480 and tight[SEARCH].reached < 1.0
    assert tight[LARGER].reached > tight[SEARCH].reached


def test_a_budget_in_gpu_hours_binds(planned: Planned) -> None:
    """At 7.5 s a learner step on 2 GPUs a run of 480 steps has 2 GPU-hours."""
    text = FILE.replace("learner_steps: 100000", "gpu_hours: 9, target: {eta_max: 1.25}")
    search = designs_of(planned(text, pilot=first_seeds, pace=StepTime(7.5, 3)), 6)[SEARCH]
    assert 9 - 2 * 2 < search.gpu_hours.median <= search.gpu_hours.most < 9 + 2 * 2
    assert search.gpu_hours.median == pytest.approx(search.learner_steps.median * 7.5 / 3600 * 2, rel=0.01)
    unknown = designs_of(planned(pilot=first_seeds))[SEARCH]
    assert unknown.gpu_hours.median == 2 * unknown.runs.median, "by the time limit of an hour"


def test_a_confirmed_collapse_ends_a_simulated_run(planned: Planned) -> None:
    """Of the cells whose runs end alike: T* + 3 observations of 8 steps, or the horizon where the file says so."""

    def doomed(sweep: Sweep) -> list[Outcome]:
        return [ended(run, 40) for run in sweep.runs if run.seed < 6]

    file = FILE.replace("6.4e-3, num: 6", "4e-4, num: 2")
    early = designs_of(planned(file, replicates=(7,), pilot=doomed, searched=False))["grid, 7 runs a cell"]
    text = file.replace("horizon: 480", "horizon: 480, collapse.stop_after_evals: 0")
    late = designs_of(planned(text, replicates=(7,), pilot=doomed, searched=False))["grid, 7 runs a cell"]
    assert early.runs == late.runs and early.runs.median == 4
    assert early.learner_steps.median < 4 * (60 + 24) < late.learner_steps.median == 4 * 480


def test_no_boundary_in_range_is_said(planned: Planned) -> None:
    def stable(sweep: Sweep) -> list[Outcome]:
        return [ended(run, None) for run in sweep.runs if run.seed < 4]

    grid = designs_of(planned(replicates=(5,), pilot=stable, searched=False), 8)["grid, 5 runs a cell"]
    assert all(known.outside == 1.0 and known.half_width is None and known.in_range == 0.0 for known in grid.known)
    assert grid.reached == 1.0, "that there is none is an answer"


def test_seeds_reproduce_and_processes_change_nothing(planned: Planned) -> None:
    plan = planned(replicates=(1,), pilot=first_seeds)
    once = simulate(plan, 4, 1, lambda: None)
    assert simulate(plan, 4, 2, lambda: None) == once
    assert simulate(planned(replicates=(1,), pilot=first_seeds, seed=1), 4, 1, lambda: None) != once


def test_a_simulated_search_makes_the_runs_that_a_search_makes(planned: Planned) -> None:
    """One after the other, as a search by hand does; all under way count where there are several."""
    plan = planned(FILE.replace("learner_steps: 100000", "learner_steps: 100000, parallel: 1"))
    made: list[Run] = []
    by_hand = Search(plan.known.sweep, plan.known.wanted)
    by_hand.learn([])
    while not by_hand.done:
        made += by_hand.choose()
        by_hand.learn([ended(run, collapses(run)) for run in made])
    simulated = simulate_plan(plan, 1)
    assert [run for run, _ in simulated.trained] == made
    for one, other in zip(simulated.known.answers(), by_hand.answers(), strict=True):
        assert one.interval == pytest.approx(other.interval, rel=1e-6) and one.standing == other.standing
    several = simulate_plan(plan, 3)
    assert several.known.done and len({key_of(run) for run, _ in several.trained}) == len(several.trained)


def simulate_plan(plan: PowerPlan, places: int) -> Simulated:
    return simulate_search(Simulated(plan.known), places, lambda run: ended(run, collapses(run)), lambda trained: False)
