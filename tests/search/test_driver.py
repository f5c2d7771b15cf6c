"""A search on a results database: its choices, its budget in GPU-hours, prices, failures; simulations choose alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from grpo_worker.schema.records import FinishRecord
from orchestrator.base.states import GOING
from orchestrator.grid.sweep import Run
from orchestrator.search.driver import SearchDriver
from orchestrator.search.search import Search, Step, group_of
from orchestrator.search.search_file import load_search
from orchestrator.search.simulation import Simulated, simulate_search
from orchestrator.store import attempts, queries, registration, schema, submissions
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt
from orchestrator.store.outcomes import Outcome
from orchestrator.store.queries import RunProgress
from tests.support.stores import begin, write

FILE = """
name: edge
grid:
  model: [tiny]
  k: [2, 8, 32]
  eta: {{logspace: {{start: 1.0e-4, stop: 1.0e-2, num: 17}}}}
  seed: {{range: {{start: 0, stop: 10}}}}
fixed: {{horizon: 480, collapse.stop_after_evals: 3}}
search: {{{search}}}
"""
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "search-choices.json").read_text())
"""What searches chose on 30 November 2026, by their section ``search:``."""

End = tuple[int | None, int]
"""T*, and the learner steps at the end."""

MakeScene = Callable[[str], "Scene"]


def name(run: Run) -> str:
    return f"{run.cell.k} {run.cell.eta:.3g} {run.seed}"


def end_of(run: Run, world: int) -> End:
    """The end of a run; η_max(k) is 7e-4·(k/8)^−0.7."""
    draw = np.random.default_rng((world, run.cell.k, round(1e9 * run.cell.eta), run.seed))
    edge = 7e-4 * (run.cell.k / 8) ** -0.7
    susceptible = draw.random() < 1 / (1 + (edge / run.cell.eta) ** 6)
    step = math.ceil(0.02 / run.cell.eta * math.exp(0.3 * draw.standard_normal()))
    return (step, min(step + 24, 480)) if susceptible and step <= 480 else (None, 480)


class Scene:
    """A search on a results database; its runs end without being trained."""

    def __init__(self, folder: Path, text: str) -> None:
        (folder / "edge.yaml").write_text(text)
        self.sweep, self.wanted = load_search(folder / "edge.yaml")
        url = f"sqlite:///{folder}/sweeps.db"
        schema.upgrade(url)
        self.store = Store(url)
        self.sweep_id = registration.begin(self.store, self.sweep)
        self.driver = SearchDriver(self.store, self.sweep_id, self.sweep, self.wanted, self.wanted.parallel)
        self.by_key = {(run.cell, run.seed): run for run in self.sweep.runs}

    def progress(self) -> list[RunProgress]:
        return queries.progress(self.store, self.sweep_id)

    def run_of(self, progress: RunProgress) -> Run:
        return self.by_key[progress.cell, progress.seed]

    def look(self) -> list[RunProgress]:
        """Look once; returns the runs under way, by their numbers."""
        self.driver.look(self.progress())
        return sorted((run for run in self.progress() if run.state in GOING), key=lambda run: run.run_id)

    def finish(self, run_id: int, end: End, *, seconds: float = 1.0) -> None:
        """End a run whose attempt trained for so long."""
        step, total = end
        claim = begin(self.store, run_id)
        if step is None:
            write(self.store, claim, FinishRecord("stable", total, "half"))
        else:
            write(self.store, claim, FinishRecord("collapsed", total, "half", step, max(step - 8, 0), 1))
        began, ended = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        with self.store.write() as connection:
            times = {"started_at": began, "ready_at": began, "heartbeat_at": ended, "ended_at": ended}
            connection.execute(update(Attempt).where(Attempt.run_id == run_id).values(**times))

    def search(self, world: int, order: list[str] | None = None) -> tuple[list[str], list[str]]:
        """Search to the end; returns the runs in the order of their numbers, and those that the search ended.

        Args:
            world: See `end_of`.
            order: Runs that end at the same time end in this order, or in that of their numbers.
        """
        now, begun = 0, dict[int, int]()
        while under_way := self.look():
            begun |= {run.run_id: now for run in under_way if run.run_id not in begun}

            def when(run: RunProgress, begun: dict[int, int] = begun) -> tuple[int, int]:
                place = order.index(name(self.run_of(run))) if order else run.run_id
                return begun[run.run_id] + end_of(self.run_of(run), world)[1], place

            run = min(under_way, key=when)
            now, _ = when(run)
            self.finish(run.run_id, end_of(self.run_of(run), world))
        runs = sorted(self.progress(), key=lambda run: run.run_id)
        ended = [run for run in runs if run.failure_class == "decided"]
        return [name(self.run_of(run)) for run in runs], [name(self.run_of(run)) for run in ended]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[str], Scene]]:
    made: list[Scene] = []

    def make(text: str) -> Scene:
        made.append(Scene(tmp_path, text))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.mark.parametrize("section", RECORDED)
def test_searches_choose_what_they_chose_before(scene: MakeScene, section: str) -> None:
    recorded = RECORDED[section]
    searched = scene(FILE.format(search=section))
    made, ended = searched.search(recorded["world"])
    assert (made, ended) == (recorded["made"], recorded["ended"])
    assert searched.driver.ending(searched.progress()) == recorded["ending"]


def test_a_simulated_search_chooses_what_a_real_one_does(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    step = Search.step

    def recorded_step(*arguments: Any) -> Step:
        found = step(*arguments)
        begun.extend(map(name, found.begin))
        return found

    monkeypatch.setattr(Search, "step", recorded_step)
    searched = scene(FILE.format(search="learner_steps: 5000, parallel: 4"))
    made, _ = searched.search(2, order=begun)
    by_real = begun.copy()
    begun.clear()

    def train(run: Run) -> Outcome:
        step, total = end_of(run, 2)
        return Outcome(*group_of(run), run.cell.k, run.cell.eta, run.seed, total, step, {})

    known = Search(searched.sweep, searched.wanted)
    simulate_search(Simulated(known), 4, train, lambda trained: sum(steps for _, steps in trained) >= 5000)
    assert begun == by_real and len(by_real) == len(made) > 10


def test_a_search_does_not_go_on_after_a_failure(scene: MakeScene) -> None:
    searched = scene(FILE.format(search="learner_steps: 100000, parallel: 2"))
    first, second = searched.look()
    attempts.abort(searched.store, begin(searched.store, first.run_id), "out of luck")
    assert [run.run_id for run in searched.look()] == [second.run_id]
    searched.finish(second.run_id, (None, 480))
    assert searched.look() == []
    submissions.set_pending(searched.store, [first.run_id])
    assert len(searched.look()) == 2, "once it is tried again, the search goes on"


GPUS = (
    FILE
    + """
models:
  small: {{path: builtin:tiny, resources: {{gpus: 1}}}}
  large: {{path: builtin:tiny, resources: {{gpus: 4}}}}
"""
)


def test_a_budget_in_gpu_hours_counts_what_attempts_held_and_what_runs_under_way_will_hold(scene: MakeScene) -> None:
    """Each run of 480 learner steps holds 2 GPUs for an hour."""
    text = FILE.format(search="gpu_hours: 7, parallel: 1") + "resources: {gpus: 2}\n"
    searched = scene(text)
    for _ in range(3):
        (run,) = searched.look()
        searched.finish(run.run_id, (None, 480), seconds=3600)
    (run,) = searched.look()
    assert len(searched.progress()) == 4, "6 of 7 GPU-hours are spent"
    searched.finish(run.run_id, (None, 480), seconds=3600)
    assert searched.look() == []
    ending = searched.driver.ending(searched.progress())
    assert ending == "The budget is spent: 4 runs, 1,920 learner steps, 8 of 7 GPU-hours."


def test_runs_under_way_are_expected_to_cost_gpu_hours_too(scene: MakeScene) -> None:
    """Each run of 480 learner steps holds 2 GPUs for an hour."""
    text = FILE.format(search="gpu_hours: 3.9, parallel: 2").replace("stop_after_evals: 3", "stop_after_evals: 0")
    searched = scene(text + "resources: {gpus: 2}\n")
    first, second = searched.look()
    searched.finish(first.run_id, (None, 480), seconds=3600)
    assert [run.run_id for run in searched.look()] == [second.run_id], "2 spent and 2 expected"
    assert len(searched.progress()) == 2


def test_a_learner_step_is_priced_by_its_gpu_seconds(scene: MakeScene) -> None:
    searched = scene(GPUS.format(search="gpu_hours: 100, parallel: 8").replace("[tiny]", "[small, large]"))
    small, large = (next(run for run in searched.look() if run.model == model) for model in ("small", "large"))
    assert set(searched.driver.search.prices.values()) == {1.0}
    searched.finish(small.run_id, (None, 480), seconds=480)
    searched.look()
    assert set(searched.driver.search.prices.values()) == {1.0}, "the pace of the large model is not known"
    searched.finish(large.run_id, (None, 480), seconds=960)
    searched.look()
    assert searched.driver.search.prices == pytest.approx({("small", "{}"): 1.0, ("large", "{}"): 8.0})
