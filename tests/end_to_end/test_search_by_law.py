"""Searches from the command line over runs whose law is known: answers, early stops, kill −9, on both databases."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from orchestrator.data import frames
from orchestrator.search.search import Search
from orchestrator.search.search_file import load_search
from orchestrator.store import registration
from tests.end_to_end.sweeps import Workspace, workspace
from tests.support.lawful_worker import edge
from tests.support.waiting import wait_for
from tests.support.webhooks import receiver

pytestmark = pytest.mark.slow

FIXED = "{horizon: 64, eval_every_steps: 4, checkpoint_every_steps: 8}"
FILE = f"""
name: edge
grid:
  model: [tiny]
  k: [2, 4]
  eta: {{logspace: {{start: 5e-4, stop: 2e-2, num: 17}}}}
  seed: {{range: {{start: 0, stop: 24}}}}
fixed: {FIXED}
search: {{learner_steps: 6000, target: {{eta_max: 2}}, parallel: 3}}
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def ws(
    request: pytest.FixtureRequest, tmp_path: Path, policy_cache: Path, new_database: Callable[[str], str]
) -> Workspace:
    made = workspace(tmp_path, policy_cache, new_database(request.param))
    made.train_nothing("lawful_worker")
    return made


def trials(ws: Workspace) -> list[optuna.trial.FrozenTrial]:
    url = ws.environment["STALESWEEP_DB"].replace("postgresql://", "postgresql+psycopg://")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(url)
    try:
        return optuna.load_study(study_name="edge", storage=storage).trials
    finally:
        storage.engine.dispose()


def test_a_search_answers_and_ends_runs_early(ws: Workspace) -> None:
    with receiver() as hook:
        ws.environment["STALESWEEP_WEBHOOK"] = hook.url
        searched = ws.run("search", ws.grid(FILE, "edge.yaml"), "--executor", "local", "--format", "json")
        del ws.environment["STALESWEEP_WEBHOOK"]
    assert searched.returncode == 0, searched.stderr
    assert len(hook.messages) == 1, "its end is told once, not whenever all of its runs have ended"
    found = json.loads(searched.stdout)
    for answer in found["answers"][:2]:
        low, high = answer["interval"]
        assert low / 1.1 < edge(answer["k"]) < 1.1 * high
    with ws.store() as store:
        runs = frames.runs(store, ["edge"])
    assert found["learner_steps"] == runs["learner_steps"].sum()
    stopped = runs[runs["state"] == "cancelled"]
    assert stopped["failure"].str.startswith("all that the search asks for is known").all()
    assert stopped["collapse_step"].isna().all()

    states = json.loads(ws.run("status", "edge", "--format", "json").stdout)[0]["runs"]
    assert states.get("cancelled", 0) == len(stopped) and sum(states.values()) == len(runs)
    shown = {trial.user_attrs["run"]: trial.state.name for trial in trials(ws)}
    names = {"cancelled": "PRUNED", "collapsed": "COMPLETE", "stable": "COMPLETE"}
    assert shown == {run: names[state] for run, state in zip(runs["run"], runs["state"], strict=True)}

    fitted = json.loads(ws.run("fit-laws", "edge", "--format", "json").stdout)
    assert {one["run"] for one in fitted["left_out"]} == set(stopped["run"])
    cells = fitted["models"]["tiny"]["cells"]
    assert sum(cell["n_collapsed"] for cell in cells) == (runs["state"] == "collapsed").sum()

    again = ws.run("search", "edge.yaml", "--executor", "local", "--format", "json")
    assert json.loads(again.stdout)["answers"] == found["answers"], "what was stopped is not run again"


def test_killed_anywhere_a_search_goes_on(ws: Workspace) -> None:
    """The command and its jobs, each several times, wherever they are."""
    draw = random.Random(0)
    file = ws.grid(FILE.replace("6000", "1500"), "edge.yaml")
    before: set[tuple[int, float, int]] = set()
    for _ in range(3):
        with ws.start("search", file, "--executor", "local") as searching:
            wait_for(lambda: len(set(ws.runs_of("edge"))) > len(before), "more runs", 120, during=searching)  # noqa: B023
            time.sleep(draw.uniform(0.0, 1.5))
            searching.kill()
        for job in ws.jobs_of("edge")[: draw.randrange(4)]:
            os.kill(job, signal.SIGKILL)
        after = set(ws.runs_of("edge"))
        assert before <= after
        before = after
    ended = ws.run("search", file, "--executor", "local", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    with ws.store() as store:
        runs = frames.runs(store, ["edge"])
    assert set(runs["state"]) <= {"stable", "collapsed", "degraded", "cancelled"}
    assert before <= set(ws.runs_of("edge")) and len(set(ws.runs_of("edge"))) == len(runs)
    found = json.loads(ended.stdout)
    if found["ending"].startswith("The budget is spent"):
        assert 1500 - 3 * 64 <= found["learner_steps"] < 1500 + 3 * 64
    running = [trial for trial in trials(ws) if not trial.state.is_finished()]
    assert not running and {trial.user_attrs.get("run") for trial in trials(ws)} >= set(runs["run"])


def test_a_cancelled_run_is_not_taken_up_again(ws: Workspace) -> None:
    file = ws.grid(FILE.replace("6000", "300"), "edge.yaml")
    sweep, wanted = load_search(ws.folder / file)
    assert ws.run("db", "upgrade").returncode == 0
    with ws.store() as store:
        registration.grow(store, registration.begin(store, sweep), sweep, Search(sweep, wanted).choose(number=2))
    assert ws.run("cancel", "1", "-y").returncode == 0
    searched = ws.run("search", file, "--executor", "debug")
    assert searched.returncode == 0, searched.stderr
    with ws.store() as store:
        states = frames.runs(store, ["edge"]).set_index("run")["state"]
    assert states.pop(1) == "cancelled" and len(states) > 2
    assert set(states) <= {"stable", "collapsed"}


def test_a_budget_in_gpu_hours_ends_a_search(ws: Workspace) -> None:
    """At 5 ms a learner step on two GPUs, in words only, a run of 64 has 0.6 s of them at least."""
    text = FILE.replace("learner_steps: 6000", "gpu_hours: 0.001") + "resources: {gpus: 2}\n"
    searched = ws.run("search", ws.grid(text, "edge.yaml"), "--executor", "debug", "--format", "json")
    assert searched.returncode == 0, searched.stderr
    found = json.loads(searched.stdout)
    with ws.store() as store:
        gpu_s = frames.runs(store, ["edge"]).sort_values("run")["gpu_s"]
    assert found["ending"].startswith("The budget is spent") and "of 0.001 GPU-hours" in found["ending"]
    assert gpu_s[:-1].sum() < 3.6 <= gpu_s.sum(), "the last run began before it was spent"


def test_models_share_a_budget_in_gpu_hours_by_what_their_steps_cost(ws: Workspace) -> None:
    text = FILE.replace("learner_steps: 6000", "gpu_hours: 0.003").replace("[tiny]", "[small, large]")
    text += "models:\n  small: {path: builtin:tiny, resources: {gpus: 1}}\n"
    text += "  large: {path: builtin:tiny, resources: {gpus: 8}}\n"
    searched = ws.run("search", ws.grid(text, "edge.yaml"), "--executor", "debug", "--format", "json")
    assert searched.returncode == 0, searched.stderr
    with ws.store() as store:
        runs = frames.runs(store, ["edge"]).sort_values("run")
    assert json.loads(searched.stdout)["ending"].startswith("The budget is spent")
    assert runs["gpu_s"][:-1].sum() < 10.8 <= runs["gpu_s"].sum()
    made = runs["model"].value_counts()
    assert made["small"] > made["large"] >= 1, "once it is known what a step of each costs"
