"""The Optuna study of a search shows what the results database holds, and its sampler serves any study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import optuna
import pytest
from sqlalchemy import update

from grpo_worker.schema.records import FinishRecord
from orchestrator.grid.sweep import Sweep
from orchestrator.search.study import BoundarySampler, params, space
from orchestrator.store import registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.models import RunRow
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


def test_a_mirror_of_what_is_in_line_writes_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = scene.add(4)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], None, 0.5)
    study = scene.study()
    scene.mirror(study)
    before = scene.told()
    writes = [name for name in vars(optuna.storages.RDBStorage) if name.startswith(("set_", "create_new_trial"))]
    assert len(writes) > 5
    for name in writes:
        monkeypatch.setattr(optuna.storages.RDBStorage, name, None)
    scene.mirror(study)
    scene.mirror()
    assert scene.told() == before


@pytest.mark.parametrize("error", [KeyError, ValueError, AssertionError])
def test_a_bug_is_not_taken_for_trouble_with_the_tables(
    scene: Scene, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.add(1)

    def broken(*_: object, **__: object) -> None:
        raise error("a bug")

    monkeypatch.setattr(optuna.Study, "add_trial", broken)
    with pytest.raises(error, match="a bug"):
        scene.mirror()


def test_one_trial_goes_with_its_run_from_ask_to_end(scene: Scene) -> None:
    study, run = scene.study(), scene.sweep.runs[0]
    (run_id,) = scene.add(1)
    scene.mirror(study, [run])
    assert scene.told()[0][:4] == (
        params(run.cell, run.seed), "RUNNING", None, {"run": 1, "state": "pending", "learner_steps": 0},
    )  # fmt: skip
    claim = begin(scene.store, run_id)
    write(scene.store, claim, eval_record(0, 0.5), eval_record(8, 0.25))
    scene.mirror(study)
    assert scene.told()[0][3]["state"] == "running" and scene.told()[0][4] == {0: 0.5, 8: 0.25}
    write(scene.store, claim, eval_record(16, 0.125), FinishRecord("collapsed", 20, "half", 16, 8, 2))
    scene.mirror(study)
    (trial,) = scene.told()
    assert trial == (
        params(run.cell, run.seed), "COMPLETE", 16 / 40,
        {"run": 1, "state": "collapsed", "learner_steps": 20, "collapse_step": 16}, {0: 0.5, 8: 0.25, 16: 0.125},
    )  # fmt: skip


def test_every_run_that_is_begun_is_asked_for_once(scene: Scene) -> None:
    scene.add(len(scene.sweep.runs))
    study = scene.study()
    scene.mirror(study, scene.sweep.runs)
    scene.mirror(study)
    assert [trial.params for trial in scene.trials()] == [params(run.cell, run.seed) for run in scene.sweep.runs]


def test_a_sweep_of_one_run_has_its_trial_too(url: str, store: Store, grid: Callable[..., Sweep]) -> None:
    scene = Scene(url, store, grid(k=[2], eta=[1e-3], seed=[7]))
    scene.add(1)
    scene.mirror(begun=scene.sweep.runs)
    assert [trial.params["seed"] for trial in scene.trials()] == [7]


def test_trials_that_stand_for_no_run_are_failed(scene: Scene) -> None:
    scene.add(1)
    scene.mirror(begun=scene.sweep.runs[:2])  # the second is not stored
    seen(scene.url, lambda storage: optuna.load_study(study_name="demo", storage=storage).ask())  # it has no axis yet
    scene.mirror()
    assert [(one[1], one[3].get("run")) for one in scene.told()] == [("RUNNING", 1), ("FAIL", None), ("FAIL", None)]
    scene.add(1)
    scene.mirror()
    scene.mirror()
    assert [(one[1], one[3].get("run")) for one in scene.told()][3:] == [("RUNNING", 2)]


def test_a_run_that_is_tried_again_has_a_further_trial(scene: Scene) -> None:
    (run_id,) = scene.add(1)
    study = scene.study()
    scene.train(run_id, "failed", 0.5, 0.25)
    scene.mirror(study)
    submissions.set_pending(scene.store, [run_id])
    scene.mirror(study)
    scene.train(run_id, "stable", 0.5, 0.625)
    scene.mirror(study)
    scene.mirror(study)
    assert [(one[1], one[2], one[3]["state"]) for one in scene.told()] == [
        ("FAIL", None, "failed"), ("COMPLETE", 1.0, "stable"),
    ]  # fmt: skip


def test_what_a_later_attempt_did_not_measure_is_not_told(scene: Scene) -> None:
    (run_id,) = scene.add(1)
    scene.train(run_id, None, 0.5, 0.25, 0.125)
    study = scene.study()
    scene.mirror(study)
    claim = begin(scene.store, run_id, sync=4, step=8, take_over=True)
    write(scene.store, claim, FinishRecord("collapsed", 12, "half", 12, 8, 2))
    scene.mirror(study)
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
    study = scene.study()
    scene.mirror(study)
    before = scene.told()
    if not open_meanwhile:
        lose(scene.url)
        scene.mirror()
        assert scene.told() == before
    lose(scene.url)
    scene.mirror(study)
    assert scene.told() == before
    scene.mirror(study)
    assert scene.told() == before


def test_a_study_that_another_process_has_made_anew(scene: Scene) -> None:
    first, second = scene.add(2)
    scene.train(first, "failed", 0.5)
    study = scene.study()
    scene.mirror(study)
    submissions.set_pending(scene.store, [first])
    scene.mirror(study)
    lost_study(scene.url)
    scene.mirror()
    scene.train(first, "stable", 0.5)
    scene.mirror(study)
    assert [(one[1], one[3]["run"]) for one in scene.told()] == [("COMPLETE", first), ("RUNNING", second)]


def test_a_result_that_is_no_more_is_told_no_more(scene: Scene) -> None:
    runs = scene.add(2)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], "stable", 0.5, 0.6)
    study = scene.study()
    scene.mirror(study)
    with scene.store.write() as connection:
        values = {"state": "pending", "collapse_step": None, "collapse_step_lo": None, "collapse_sync": None}
        connection.execute(update(RunRow).where(RunRow.id == runs[0]).values(**values))
    scene.mirror(study)
    assert [(one[1], one[2]) for one in scene.told()] == [("RUNNING", None), ("COMPLETE", 1.0)]


def test_axes_that_got_further_values(scene: Scene, grid: Callable[..., Sweep]) -> None:
    scene.train(*scene.add(1), "stable", 0.5)
    scene.mirror()
    wider = grid(k=[1, 2, 8], eta=[1e-3, 2e-3, 4e-3], seed=[0, 1, 2], clip_eps=[0.1, 0.2, 0.3], horizon=HORIZON)
    registration.begin(scene.store, wider)
    scene.sweep, scene.left = wider, list(wider.runs)
    study = scene.study()
    for run in wider.runs[:2]:
        scene.add(1)
        scene.mirror(study, [run])
    assert [(one[0]["clip_eps"], one[1]) for one in scene.told()] == [
        (0.2, "COMPLETE"), (0.1, "RUNNING"), (0.1, "RUNNING"),
    ]  # fmt: skip


def test_the_sampler_serves_a_plain_study(grid: Callable[..., Sweep]) -> None:
    sweep = grid(k=[2, 8], eta=[1e-3, 2e-3], seed=[0, 1], clip_eps=[0.2, 0.3])
    left = list(sweep.runs[3:7])
    sampler = BoundarySampler(lambda: left.pop(0) if left else None, space(sweep))
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        axes = sampler.space
        trial.suggest_categorical("clip_eps", axes["clip_eps"].choices)  # type: ignore[attr-defined]
        k = trial.suggest_int("k", 2, 8, log=True)
        for name in ("eta", "seed", "model"):
            trial._suggest(name, axes[name])
        assert k in (2, 8)
        return 1.0

    study.optimize(objective, n_trials=3)
    assert [trial.params for trial in study.trials] == [params(run.cell, run.seed) for run in sweep.runs[3:6]]
    with pytest.raises(ValueError, match="its axes are k, eta, seed, model, clip_eps"):
        study.ask().suggest_float("momentum", 0, 1)
