"""The Optuna study of a search tells what the run store tells, and its sampler and pruner serve any study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import optuna
import pytest
from sqlalchemy import update

from grpo_worker.schema.records import FinishRecord
from orchestrator.grid.sweep import Sweep
from orchestrator.search.sampling import BoundarySampler, CollapsePruner, params, space
from orchestrator.store import registration, submissions
from orchestrator.store.models import Run
from orchestrator.store.store import Store
from tests.search.searches import HORIZON, Scene, lost_study, lost_tables, lost_trials, seen
from tests.support.stores import begin, eval_record, write

pytestmark = pytest.mark.services


@pytest.fixture
def scene(url: str, store: Store, grid: Callable[..., Sweep]) -> Scene:
    return Scene(url, store, grid(k=[2, 8], eta=[1e-3, 2e-3], seed=[0, 1], clip_eps=[0.2, 0.3], horizon=HORIZON))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.records == []


def test_a_study_tells_what_the_store_tells(scene: Scene) -> None:
    runs = scene.add(9)
    scene.put(runs[1], "queued")
    scene.train(runs[2], None, 0.5, math.nan, 0.25)
    scene.train(runs[3], "collapsed", 0.5, 0.1)
    scene.train(runs[4], "stable", 0.5, 0.625)
    scene.train(runs[5], "degraded", 0.5, 0.375)
    scene.train(runs[6], "failed", 0.5)
    scene.put(runs[7], "cancelled", "cancelled by you")
    scene.put(runs[8], "cancelled", "it would have collapsed", "predicted_collapse")
    scene.mirror()
    first = {"model": "tiny", "k": 2, "eta": 1e-3, "seed": 0, "clip_eps": 0.2}
    told = scene.told()
    assert told[0] == (first, "RUNNING", None, {"run": 1, "state": "pending", "learner_steps": 0}, {})
    assert [one[0] for one in told] == [params(run.cell, run.seed) for run in scene.sweep.runs[:9]]
    assert [one[1:3] for one in told[1:]] == [
        *[("RUNNING", None)] * 2, ("COMPLETE", 24 / 40), ("COMPLETE", 1.0), ("COMPLETE", 1.0), ("FAIL", None),
        ("FAIL", None), ("PRUNED", None),
    ]  # fmt: skip
    assert told[2][4] == {0: 0.5, 16: 0.25}
    assert told[3][3] == {"run": 4, "state": "collapsed", "learner_steps": 40, "collapse_step": 24}
    assert [told[place][3]["why"] for place in (6, 7, 8)] == [
        "out of luck", "cancelled by you", "it would have collapsed",
    ]  # fmt: skip


def test_a_mirror_of_what_is_in_line_writes_nothing(scene: Scene) -> None:
    runs = scene.add(4)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], None, 0.5)
    scene.mirror()
    before = scene.told()
    with scene.study() as study:
        study.mirror(scene.store, scene.sweep_id)
        opened = study._opened
        assert opened is not None
        for name in ("set_trial_user_attr", "set_trial_intermediate_value", "set_trial_state_values"):
            setattr(opened.storage, name, None)
        study.mirror(scene.store, scene.sweep_id)
        assert study._opened is opened
    assert scene.told() == before


def test_one_trial_goes_with_its_run_from_ask_to_end(scene: Scene) -> None:
    with scene.study() as study:
        study.mirror(scene.store, scene.sweep_id)
        run = study.ask()
        assert run is scene.sweep.runs[0]
        (run_id,) = scene.grow(run)
        study.mirror(scene.store, scene.sweep_id)
        assert scene.told()[0][1:4] == ("RUNNING", None, {"run": 1, "state": "pending", "learner_steps": 0})
        claim = begin(scene.store, run_id)
        write(scene.store, claim, eval_record(0, 0.5), eval_record(8, 0.25))
        study.mirror(scene.store, scene.sweep_id)
        assert scene.told()[0][3]["state"] == "running" and scene.told()[0][4] == {0: 0.5, 8: 0.25}
        write(scene.store, claim, eval_record(16, 0.125), FinishRecord("collapsed", 20, "half", 16, 8, 2))
        study.mirror(scene.store, scene.sweep_id)
    (trial,) = scene.told()
    assert trial == (
        params(run.cell, run.seed), "COMPLETE", 16 / 40,
        {"run": 1, "state": "collapsed", "learner_steps": 20, "collapse_step": 16}, {0: 0.5, 8: 0.25, 16: 0.125},
    )  # fmt: skip


def test_all_runs_are_asked_for_once_and_then_none(scene: Scene) -> None:
    with scene.study() as study:
        asked = [study.ask() for _ in range(len(scene.sweep.runs) + 2)]
        assert asked == [*scene.sweep.runs, None, None]
        scene.grow(*asked)
        study.mirror(scene.store, scene.sweep_id)
    assert [trial.params for trial in scene.trials()] == [params(run.cell, run.seed) for run in scene.sweep.runs]


def test_a_sweep_of_one_run_has_its_trial_too(url: str, store: Store, grid: Callable[..., Sweep]) -> None:
    scene = Scene(url, store, grid(k=[2], eta=[1e-3], seed=[7]))
    with scene.study() as study:
        run = study.ask()
        assert run is scene.sweep.runs[0] and study.ask() is None
        scene.grow(run)
        study.mirror(scene.store, scene.sweep_id)
    assert [trial.params["seed"] for trial in scene.trials()] == [7]


def test_a_search_killed_between_asking_and_storing(scene: Scene) -> None:
    with scene.study() as study:
        stored, forgotten = study.ask(), study.ask()
        scene.grow(stored)
    assert forgotten is not None
    with scene.study() as study:
        seen(
            scene.url, lambda storage: optuna.load_study(study_name="demo", storage=storage).ask()
        )  # it had no axis yet
        study.mirror(scene.store, scene.sweep_id)
        assert [(one[1], one[3].get("run")) for one in scene.told()] == [
            ("RUNNING", 1), ("FAIL", None), ("FAIL", None),
        ]  # fmt: skip
        scene.grow(forgotten)
        study.mirror(scene.store, scene.sweep_id)
        study.mirror(scene.store, scene.sweep_id)
    assert [(one[1], one[3].get("run")) for one in scene.told()][3:] == [("RUNNING", 2)]


def test_a_run_that_is_tried_again_has_a_further_trial(scene: Scene) -> None:
    (run_id,) = scene.add(1)
    with scene.study() as study:
        scene.train(run_id, "failed", 0.5, 0.25)
        study.mirror(scene.store, scene.sweep_id)
        submissions.set_pending(scene.store, [run_id])
        study.mirror(scene.store, scene.sweep_id)
        scene.train(run_id, "stable", 0.5, 0.625)
        study.mirror(scene.store, scene.sweep_id)
        study.mirror(scene.store, scene.sweep_id)
    assert [(one[1], one[2], one[3]["state"]) for one in scene.told()] == [
        ("FAIL", None, "failed"), ("COMPLETE", 1.0, "stable"),
    ]  # fmt: skip


def test_what_a_later_attempt_did_not_measure_is_not_told(scene: Scene) -> None:
    (run_id,) = scene.add(1)
    scene.train(run_id, None, 0.5, 0.25, 0.125)
    with scene.study() as study:
        study.mirror(scene.store, scene.sweep_id)
        claim = begin(scene.store, run_id, sync=4, step=8, take_over=True)
        write(scene.store, claim, FinishRecord("collapsed", 12, "half", 12, 8, 2))
        study.mirror(scene.store, scene.sweep_id)
    assert [(one[1], one[4]) for one in scene.told()] == [
        ("FAIL", {0: 0.5, 8: 0.25, 16: 0.125}), ("COMPLETE", {0: 0.5, 8: 0.25}),
    ]  # fmt: skip


@pytest.mark.parametrize("lose", [lost_study, lost_tables, lost_trials])
@pytest.mark.parametrize("open_meanwhile", [True, False])
def test_the_study_can_be_made_anew(scene: Scene, lose: Callable[[str], None], open_meanwhile: bool) -> None:
    runs = scene.add(4)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], None, 0.5)
    scene.put(runs[2], "lost", "its node is gone")
    with scene.study() as study:
        study.mirror(scene.store, scene.sweep_id)
        before = scene.told()
        if not open_meanwhile:
            lose(scene.url)
            scene.mirror()
            assert scene.told() == before
        lose(scene.url)
        study.mirror(scene.store, scene.sweep_id)
        assert scene.told() == before
        study.mirror(scene.store, scene.sweep_id)
        assert scene.told() == before


def test_a_study_that_another_process_has_made_anew(scene: Scene) -> None:
    first, second = scene.add(2)
    scene.train(first, "failed", 0.5)
    with scene.study() as study:
        study.mirror(scene.store, scene.sweep_id)
        submissions.set_pending(scene.store, [first])
        study.mirror(scene.store, scene.sweep_id)
        lost_study(scene.url)
        scene.mirror()
        scene.train(first, "stable", 0.5)
        study.mirror(scene.store, scene.sweep_id)
    assert [(one[1], one[3]["run"]) for one in scene.told()] == [("COMPLETE", first), ("RUNNING", second)]


def test_a_result_that_is_no_more_is_told_no_more(scene: Scene) -> None:
    runs = scene.add(2)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], "stable", 0.5, 0.6)
    with scene.study() as study:
        study.mirror(scene.store, scene.sweep_id)
        with scene.store.write() as connection:
            values = {"state": "pending", "collapse_step": None, "collapse_step_lo": None, "collapse_sync": None}
            connection.execute(update(Run).where(Run.id == runs[0]).values(**values))
        study.mirror(scene.store, scene.sweep_id)
    assert [(one[1], one[2]) for one in scene.told()] == [("RUNNING", None), ("COMPLETE", 1.0)]


def test_axes_that_got_further_values(scene: Scene, grid: Callable[..., Sweep]) -> None:
    scene.train(*scene.add(1), "stable", 0.5)
    scene.mirror()
    wider = grid(k=[1, 2, 8], eta=[1e-3, 2e-3, 4e-3], seed=[0, 1, 2], clip_eps=[0.1, 0.2, 0.3], horizon=HORIZON)
    registration.begin(scene.store, wider)
    scene.sweep, scene.left = wider, list(wider.runs)
    with scene.study() as study:
        scene.grow(study.ask())
        study.mirror(scene.store, scene.sweep_id)
        scene.grow(study.ask())
        study.mirror(scene.store, scene.sweep_id)
    assert [(one[0]["clip_eps"], one[1]) for one in scene.told()] == [
        (0.2, "COMPLETE"), (0.1, "RUNNING"), (0.1, "RUNNING"),
    ]  # fmt: skip


def test_the_pruner_says_which_running_runs_are_doomed(scene: Scene) -> None:
    runs = scene.add(4)
    for run_id in runs[:3]:
        scene.train(run_id, None, 0.5)
    alarms = {runs[0]: (0.99, 0.95), runs[1]: (0.9, 0.95), runs[2]: (math.nan, 0.5), runs[3]: (1.0, 0.5)}
    with scene.study() as study:
        assert study.doomed() == []
        study.mirror(scene.store, scene.sweep_id, alarms)
        assert study.doomed() == [runs[0]]
        study.mirror(scene.store, scene.sweep_id, {runs[1]: (0.96, 0.95)})
        assert study.doomed() == [runs[1]]
        scene.put(runs[1], "cancelled", "it would have collapsed", "predicted_collapse")
        study.mirror(scene.store, scene.sweep_id)
        assert study.doomed() == []
    assert [one[1] for one in scene.told()][1] == "PRUNED"


def test_sampler_and_pruner_serve_a_plain_study(grid: Callable[..., Sweep]) -> None:
    sweep = grid(k=[2, 8], eta=[1e-3, 2e-3], seed=[0, 1], clip_eps=[0.2, 0.3])
    left = list(sweep.runs[3:7])
    sampler = BoundarySampler(lambda: left.pop(0) if left else None, space(sweep))
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=CollapsePruner())

    def objective(trial: optuna.Trial) -> float:
        axes = sampler.space
        trial.suggest_categorical("clip_eps", axes["clip_eps"].choices)  # type: ignore[attr-defined]
        k = trial.suggest_int("k", 2, 8, log=True)
        for name in ("eta", "seed", "model"):
            trial._suggest(name, axes[name])
        trial.set_user_attr("warning", k / 8)
        trial.set_user_attr("stop_above", 0.5)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 1.0

    study.optimize(objective, n_trials=3)
    assert [trial.params for trial in study.trials] == [params(run.cell, run.seed) for run in sweep.runs[3:6]]
    assert [trial.state.name == "PRUNED" for trial in study.trials] == [run.cell.k > 4 for run in sweep.runs[3:6]]
    with pytest.raises(ValueError, match="its axes are k, eta, seed, model, clip_eps"):
        study.ask().suggest_float("momentum", 0, 1)
