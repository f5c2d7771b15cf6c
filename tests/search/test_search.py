"""Which runs a search makes, and what it answers: on simulated laws, whose boundary is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import GridError
from orchestrator.grid.sweep import Run, Sweep, load_sweep
from orchestrator.search.beliefs import Goal
from orchestrator.search.knowledge import SearchAnswer
from orchestrator.search.search import Search, group_of
from orchestrator.search.search_file import SearchConfig, load_search
from orchestrator.store.outcomes import Outcome

FILE = """
grid:
  model: [tiny]
  k: [2, 8, 32]
  eta: {logspace: {start: 1.0e-4, stop: 1.0e-2, num: 17}}
  seed: {range: {start: 0, stop: 10}}
fixed: {horizon: 480, collapse.stop_after_evals: 3}
search: {learner_steps: 100000}
"""
BATCH = 2


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[Sweep, SearchConfig]]:
    def reading(text: str = FILE) -> tuple[Sweep, SearchConfig]:
        (tmp_path / "edge.yaml").write_text(text)
        return load_search(tmp_path / "edge.yaml")

    return reading


@pytest.fixture
def file(read: Callable[..., tuple[Sweep, SearchConfig]]) -> tuple[Sweep, SearchConfig]:
    return read()


class World:
    """A boundary η_max(k) = at_8·(k/8)^−a of some steepness; beyond it T* is near 0.02/η."""

    def __init__(self, seed: int, at_8: float = 7e-4, a: float = 0.7, steepness: float = 6.0) -> None:
        self.draw = np.random.default_rng(seed)
        self.at_8, self.a, self.steepness = at_8, a, steepness

    def edge(self, k: int) -> float:
        return self.at_8 * (k / 8) ** -self.a

    def train(self, run: Run) -> Outcome:
        horizon = run.config.horizon
        susceptible = self.draw.random() < 1 / (1 + (self.edge(run.cell.k) / run.cell.eta) ** self.steepness)
        step = math.ceil(0.02 / run.cell.eta * math.exp(0.3 * self.draw.standard_normal()))
        collapsed = susceptible and step <= horizon
        return ended(run, step if collapsed else None, min(step + 24, horizon) if collapsed else horizon)


def ended(run: Run, step: int | None, learner_steps: int) -> Outcome:
    cell, config = run.cell, run.config.model_dump(mode="json")
    return Outcome(cell.model, group_of(run)[1], cell.k, cell.eta, run.seed, learner_steps, step, config)


def searched(file: tuple[Sweep, SearchConfig], world: World) -> tuple[list[SearchAnswer], list[Outcome], str]:
    """What the loop of the command does, with a world in the place of jobs."""
    sweep, wanted = file
    search, made = Search(sweep, wanted), list[Outcome]()
    while True:
        if search.done:
            return search.answers(), made, "done"
        if sum(one.learner_steps for one in made) >= (wanted.learner_steps or 0):
            return search.answers(), made, "spent"
        ended = [world.train(run) for run in search.choose()]
        if not ended:
            return search.answers(), made, "nothing left"
        made += ended
        search = search.then(ended)


def test_runs_that_run_out_end_the_search(read: Callable[..., tuple[Sweep, SearchConfig]]) -> None:
    file = read(FILE.replace("num: 17", "num: 3").replace("stop: 10}", "stop: 2}"))
    _, made, ending = searched(file, World(0, steepness=2.5))
    assert ending == "nothing left" and len(made) == 18


def test_stored_runs_of_the_same_config_are_used_first(file: tuple[Sweep, SearchConfig]) -> None:
    sweep, wanted = file
    _, made, _ = searched(file, World(3))
    search = Search(sweep, wanted)
    longer = [
        replace(one, config={**one.config, "collapse": {**one.config["collapse"], "stop_after_evals": 0}})
        for one in made
    ]
    search.learn(longer)
    assert search.done and all(answer.standing in ("known", "unasked") for answer in search.answers()), (
        "whether runs end early is no other config"
    )
    search.learn([replace(one, config={**one.config, "group_size": 16}) for one in made])
    assert all(answer.standing in ("open", "unasked") and answer.runs == 0 for answer in search.answers())


def test_neither_begun_nor_ended_runs_are_chosen(file: tuple[Sweep, SearchConfig]) -> None:
    search = Search(*file)
    first = search.choose()
    taken = {(group_of(run), (run.cell.k, run.cell.eta), run.seed) for run in first}
    second = search.choose(taken)
    assert not taken & {(group_of(run), (run.cell.k, run.cell.eta), run.seed) for run in second}
    search.learn([ended(run, None, 480) for run in first])
    assert not set(map(id, first)) & set(map(id, search.choose()))


def test_groups_are_searched_apart(read: Callable[..., tuple[Sweep, SearchConfig]]) -> None:
    sweep, wanted = read(FILE.replace("  seed:", "  clip_eps: [0.1, 0.2]\n  seed:").replace("num: 17", "num: 9"))
    search = Search(sweep, wanted)
    assert [(answer.group, answer.k) for answer in search.answers() if answer.k] == [
        (f"tiny · clip_eps={eps}", k) for eps in (0.1, 0.2) for k in (2, 8, 32)
    ]
    of_first = [run for run in sweep.runs if dict(run.cell.axes)["clip_eps"] == 0.1]
    world = World(0)
    search.learn([world.train(run) for run in of_first])
    known = {answer.group: answer.standing for answer in search.answers() if answer.k}
    assert known == {"tiny · clip_eps=0.1": "known", "tiny · clip_eps=0.2": "open"}
    assert {dict(run.cell.axes)["clip_eps"] for run in search.choose()} == {0.2}


def test_a_group_whose_steps_cost_more_is_asked_where_it_teaches_more(
    read: Callable[..., tuple[Sweep, SearchConfig]],
) -> None:
    text = FILE.replace("  seed:", "  clip_eps: [0.1, 0.2]\n  seed:").replace("num: 17", "num: 9")
    search = Search(*read(text))
    cheap, dear = search.groups
    assert {group_of(run) for run in search.choose(number=4)} == {cheap, dear}
    search.prices = {cheap: 1.0, dear: 100.0}
    assert {group_of(run) for run in search.choose(number=4)} == {cheap}
    world = World(0)
    while any(answer.standing == "open" for answer in search.answers() if answer.group.endswith("0.1")):
        search = search.then([world.train(run) for run in search.choose()])
    assert {group_of(run) for run in search.choose(number=4)} == {dear}


def test_a_run_is_chosen_by_its_gain_per_expected_learner_step(file: tuple[Sweep, SearchConfig]) -> None:
    search, world = Search(*file), World(0)
    for _ in range(4):
        search = search.then([world.train(run) for run in search.choose()])
    (known,), goals = search.groups.values(), [Goal("eta_max", math.log(1.5), k) for k in (2, 8, 32)]
    places = list(dict.fromkeys((run.cell.k, run.cell.eta) for run in file[0].runs))
    gains, chances = known.beliefs.gains(places, goals)
    per_step = gains / known.costs.expected(places, chances)
    (chosen,) = search.choose(number=1)
    assert (chosen.cell.k, chosen.cell.eta) == places[np.argmax(per_step)] != places[np.argmax(gains)]


# --- the file


@pytest.mark.parametrize(
    ("settings", "fragments"),
    [
        ("{}", ["search.learner_steps: is missing", "a budget"]),
        ("{learner_steps: 0}", ["search.learner_steps", "at least 1"]),
        ("{learner_steps: 9, targt: {}}", ["search.targt: unknown key", "did you mean 'target'"]),
        ("{learner_steps: 9, target: {eta_max: 1.0}}", ["search.target.eta_max", "at least 1.1"]),
        ("{learner_steps: 9, target: 1.5}", ["search.target: must be a mapping"]),
        (
            "{learner_steps: 9, early_stops: {predicted: 0}}",
            ["search.early_stops.predicted: was removed in version 0.1.0, because stops by a predicted collapse saved"],
        ),
        (
            "{learner_steps: 9, early_stops: {confirmed: 2}}",
            ["search.early_stops.confirmed", "is set by collapse.stop"],
        ),
        ("{learner_steps: 9, confidence: 1}", ["search.confidence", "below 1"]),
        ("{gpu_hours: 9}", ["search.gpu_hours: no run of this file asks for a GPU"]),
        ("[1]", ["search: must be a mapping"]),
    ],
)
def test_mistakes_are_named(read: Callable[..., object], settings: str, fragments: list[str]) -> None:
    with pytest.raises(GridError) as error:
        read(FILE.replace("{learner_steps: 100000}", settings))
    assert all(fragment in str(error.value) for fragment in fragments)


def test_a_search_file_is_no_grid_file(read: Callable[..., object], tmp_path: Path) -> None:
    read()
    with pytest.raises(GridError, match="makes this a search file; give it to: stalesweep search"):
        load_sweep(tmp_path / "edge.yaml")


def test_a_budget_is_no_part_of_the_experiment(read: Callable[..., tuple[Sweep, SearchConfig]]) -> None:
    (one, _), (other, _) = read(), read(FILE.replace("100000", "200000"))
    assert one.digest == other.digest


def test_a_confirmed_collapse_ends_its_run_unless_the_file_says_otherwise(
    read: Callable[..., tuple[Sweep, SearchConfig]],
) -> None:
    silent = FILE.replace(", collapse.stop_after_evals: 3", "")
    for text, observations in [
        (silent, 3),
        (silent.replace("100000", "100000, early_stops: {confirmed: 0}"), 0),
        (FILE.replace("collapse.stop_after_evals: 3", "collapse: {stop_after_evals: 5}"), 5),
        (silent.replace("fixed: {horizon: 480}\n", ""), 3),
    ]:
        sweep, _ = read(text)
        assert {run.config.collapse.stop_after_evals for run in sweep.runs} == {observations}


# --- what is wanted


def test_the_law_itself_may_be_wanted(read: Callable[..., tuple[Sweep, SearchConfig]]) -> None:
    file = read(FILE.replace("search: {", "search: {target: {exponent: 0.3, constant: 2.0}, "))
    world = World(0)
    answers, _, ending = searched(file, world)
    assert ending == "done"
    exponent, constant = answers[-2:]
    assert (exponent.quantity, constant.quantity) == ("exponent", "constant")
    assert exponent.standing == constant.standing == "known"
    assert exponent.interval[1] - exponent.interval[0] <= 0.6 + 1e-9
    assert constant.interval[1] / constant.interval[0] <= 4 + 1e-9
    assert exponent.interval[0] < world.a < exponent.interval[1]
    assert constant.interval[0] < world.edge(1) < constant.interval[1]
    assert {answer.standing for answer in answers[:3]} == {"unasked"}


def test_runs_under_way_are_reckoned_with(file: tuple[Sweep, SearchConfig]) -> None:
    search = Search(*file)
    at_once = search.choose(number=4)
    one_by_one: list[Run] = []
    for _ in range(4):
        one_by_one += search.choose(under_way=one_by_one, number=1)
    assert one_by_one == at_once


def test_a_run_that_can_change_nothing_is_known(file: tuple[Sweep, SearchConfig]) -> None:
    sweep, wanted = file
    world = World(3)
    _, made, _ = searched(file, world)
    search = Search(sweep, wanted)
    search.learn(made)
    far = next(run for run in sweep.runs if run.cell.eta == max(one.cell.eta for one in sweep.runs))
    assert search.groups[group_of(far)].decided_without(far)
    search.learn(made[: len(made) // 2])
    assert not search.done and not search.groups[group_of(far)].decided_without(far)
