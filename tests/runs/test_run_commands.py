"""``show``, ``rm`` and ``gc`` as users call them: what they print, when they ask, how they end."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.attempt.claim import begin
from orchestrator.attempt.recording import ORDINARY
from orchestrator.base import provenance
from orchestrator.base.settings import code_version
from orchestrator.cli.app import app
from orchestrator.data.importing.columns import Options
from orchestrator.data.importing.read import read_import
from orchestrator.data.importing.stored import store_import
from orchestrator.grid.sweep import Sweep
from orchestrator.report.run_page import run_page
from orchestrator.rundir import folder as rundirs
from orchestrator.runs.details import run_details
from orchestrator.store import attempts, queries, registration
from orchestrator.store.database import Store
from tests.support.lives import START, begun, ended, launched, recording_of, trained
from tests.support.stores import config_of, eval_record, sync_record

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def runs_folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("STALESWEEP_DB", store.url)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("orchestrator.attempt.claim.checkout", lambda: provenance.Checkout(COMMIT, True, b"diff"))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_JOB_ID", "4712")  # a task has a number of its own too
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    return tmp_path / "runs"


@pytest.fixture
def directories(store: Store, grid: Grid) -> dict[int, Path]:
    return launched(store, registration.register(store, grid(clip_eps=[0.2])))


def stalesweep(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=answer)


def resumed(store: Store, directory: Path) -> None:
    """A run that was interrupted, resumed from a checkpoint and collapsed; its code was changed."""
    first = begun(store, directory)
    with recording_of(first, store) as recording:
        for record in (START, eval_record(0), sync_record(0), sync_record(1, reward=math.nan)):
            recording.emit(record)
        recording.emit(dataclasses.replace(ended("interrupted"), learner_steps=4))
    checkpoint = directory / "checkpoint-00000004.pt"
    checkpoint.write_bytes(bytes(2048))
    run = rundirs.load(directory)
    second = begin(
        store, "slurm", directory, run, run.worker_config(), lambda _: (checkpoint, 4), threading.Event(), ORDINARY
    )
    assert second is not None
    second.journal.append("begin", second.first_record)
    (directory / "attempt-0002.diff").write_bytes(b"diff")
    with recording_of(second, store) as recording:
        recording.emit(dataclasses.replace(START, resumed_from_sync=1, resumed_from_step=4))
        recording.emit(sync_record(2, reward=0.25))
        recording.emit(ended("collapsed"))


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


# show


def test_all_that_is_known_of_a_run(store: Store, directories: dict[int, Path]) -> None:
    resumed(store, directories[1])
    result = stalesweep("show", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    page = flat(result.stdout)
    for part in (
        "run 1 · sweep demo · tiny, k = 2, η = 0.001, clip_eps = 0.2, seed 0",
        "state collapsed at learner step T* = 24, last seen alive at 16, weight sync 12 (detector half)",
        "progress 40 of 40 learner steps; weight sync 2: reward 0.25; validation reward 0.5",
        "s in 2 attempts, 0 GPUs",
        f"code registered by version {code_version()}, ",
        "clip_eps: 0.2",
        "optimizer: {name: adamw, beta1: 0.9",
        "resources cpus: 1 gpus: 0 mem_gb: 2.0",
        f"{directories[1]}, ",
        "checkpoint-00000004.pt 2.0 kB checkpoint after 4 learner steps",
        "all in the database",
        "attempt 1 executor local, job 4711_3, on ",
        "UTC, from the start",
        "s, interrupted",
        "attempt 2 executor slurm, job 4711_3, on ",
        "UTC, from the checkpoint of learner step 4 (whole up to weight sync 1)",
        "s, collapsed",
        "stored 2 weight syncs, 1 evaluations; of its journal of ",
        "stored 1 weight syncs, 0 evaluations; of its journal of ",
        f"commit {COMMIT}, tree dirty its changes: {directories[1]}/attempt-0002.diff",
        "machine python 3.11, torch 2.9, cpu, 1 thread, 21,536 parameters, set up in 1.5 s",
    ):
        assert part in page
    assert "\x1b" not in result.stdout, "no colour where nobody looks"
    every_field = config_of(store, 1).model_dump(mode="json")
    assert all(f"\n  {name}:" in result.stdout for name in every_field)


@pytest.mark.parametrize("width", [80, 120])
def test_a_page_keeps_within_its_width(store: Store, directories: dict[int, Path], width: int) -> None:
    resumed(store, directories[1])
    attempts.abort(store, begun(store, directories[2]).claim, "ValueError: " + "a long story " * 30, "exception")
    for run_id in (1, 2):
        for line in run_page(run_details(store, run_id), width).plain.splitlines():
            longest_word = max(map(len, line.split()), default=0)
            assert len(line) <= width or longest_word > 50 or str(directories[run_id]) in line


def test_json_says_the_same(store: Store, directories: dict[int, Path]) -> None:
    resumed(store, directories[1])
    (run,) = json.loads(stalesweep("show", "1", "--format", "json").stdout)
    assert (run["run"], run["sweep"], run["axes"], run["state"]) == (1, "demo", {"clip_eps": 0.2}, "collapsed")
    assert (run["collapse_step_lo"], run["collapse_step"], run["collapse_sync"]) == (16, 24, 12)
    assert run["config"] == config_of(store, 1).model_dump(mode="json")
    first, second = run["attempts"]
    assert (first["outcome"], first["resumed_from_step"], first["syncs"], first["evaluations"]) == (
        "interrupted",
        None,
        2,
        1,
    )
    assert (second["number"], second["resumed_from_sync"], second["resumed_from_step"]) == (2, 1, 4)
    assert (second["git_commit"], second["git_dirty"]) == (COMMIT, True)
    assert (first["diff"], second["diff"]) == (None, str(directories[1] / "attempt-0002.diff"))
    assert second["versions"] == START.versions
    assert second["journal"]["bytes"] == second["journal"]["stored_bytes"] > 0
    assert run["directory"]["files"]["checkpoint-00000004.pt"] == 2048
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", second["started_at"])


def test_what_only_the_journal_has(store: Store, directories: dict[int, Path]) -> None:
    attempt = begun(None, directories[1])
    with recording_of(attempt, None) as recording:
        recording.emit(START)
        recording.emit(sync_record(0, reward=math.nan))
    result = stalesweep("show", "1", "--format", "json")
    assert result.stderr == "brought 3 records of 1 run from journals into the database\n"
    (run,) = json.loads(result.stdout)
    assert (run["state"], run["reward"], run["attempts"][0]["outcome"]) == ("running", "NaN", None)
    with attempt.journal.path.open("ab") as file:
        file.write(b"torn")
    page = flat(stalesweep("show", "1").stdout)
    assert "heartbeat" in page
    assert "ago; it has not ended" in page
    assert "4 bytes not in the database yet" in page


def test_runs_that_have_little(store: Store, grid: Grid, directories: dict[int, Path]) -> None:
    registration.register(store, grid("later", k=[2]))
    page = flat(stalesweep("show", "5").stdout)
    assert "state pending" in page
    assert "directory none before its first launch no attempt yet" in page
    trained(store, directories[1])
    rundirs.discard(directories[1])
    page = flat(stalesweep("show", "1").stdout)
    assert f"directory {directories[1]} (not there)" in page
    assert "state stable: no collapse within 40 learner steps (detector half)" in page
    assert "stored 2 weight syncs, 2 evaluations; no journal is there" in page


def test_an_imported_run(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "paper.csv"
    path.write_text("model,k,eta,seed,horizon,collapse_step\nllama,8,1e-5,0,400,160\n")
    store_import(store, read_import(path, Options()), "paper")
    result = stalesweep("show", "paper")
    page = flat(result.stdout)
    assert " · sweep paper · llama, k = 8, η = 1e-05, seed 0 state collapsed at learner step T* = 160" in page
    assert "imported from " in page
    assert "paper.csv" in page
    assert "known instead of a config source: import model: llama" in page
    assert "directory none, it was trained elsewhere" in page
    assert re.search(r"attempt 1 imported [-\d]+ [:\d]+ UTC on \S+ stored 0 weight syncs, 0 evaluations$", page.strip())
    assert json.loads(stalesweep("show", "paper", "--format", "json").stdout)[0]["imported"]["import"] == "paper.csv"


def test_several_runs_and_mistakes(store: Store, directories: dict[int, Path]) -> None:
    shown = stalesweep("show", "2", "1").stdout
    assert re.findall(r"^run (\d+)", shown, re.MULTILINE) == ["1", "2"]
    for arguments, code, message in (
        (["9"], 2, "error: no run 9; they are numbered from 1 to 4\n"),
        (["dmeo"], 2, "error: no sweep named 'dmeo'; did you mean 'demo'?\n"),
        (["1", "--format", "yaml"], 2, "error: --format: expected table or json, found 'yaml'\n"),
        (["1", "-s", "stable"], 3, "no run in state stable\n"),
        (["1", "-s", "stabel"], 2, "error: --state: no state 'stabel'; did you mean 'stable'?\n"),
    ):
        result = stalesweep("show", *arguments)
        assert (result.exit_code, result.stderr) == (code, message)


# rm


def states(store: Store) -> list[str]:
    return [run.state for run in queries.progress(store, queries.sweep_id(store, "demo"))]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("orchestrator.cli.output._is_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", confirm)
    return asked


def test_rm_says_what_goes_and_asks(
    store: Store, directories: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(store, directories[1])
    trained(store, directories[2], "collapsed")
    asked = on_a_terminal(monkeypatch, answer=False)
    result = stalesweep("rm", "demo")
    assert (result.exit_code, result.stderr) == (3, "nothing was done\n")
    assert asked == ["Remove 4 runs?"]
    size = sum(rundirs.size(path) for path in directories.values()) / 1e6
    assert result.stdout.splitlines() == [
        "4 runs of sweep demo: 1 stable, 1 collapsed, 2 pending",
        "with 2 attempts, 4 weight syncs, 4 evaluations",
        f"and 4 run directories, {size:.1f} MB",
        "Their configs stay: `stalesweep launch` of their grid trains them again, from the start.",
    ]
    assert states(store) == ["stable", "collapsed", "pending", "pending"]
    asked = on_a_terminal(monkeypatch, answer=True)
    result = stalesweep("rm", "demo", "-s", "stable")
    assert (result.exit_code, asked) == (0, ["Remove 1 run?"])
    assert result.stdout.splitlines()[-1] == "removed 1 run"
    assert states(store) == ["cancelled", "collapsed", "pending", "pending"]


def test_rm_without_a_terminal_wants_a_yes(store: Store, directories: dict[int, Path]) -> None:
    result = stalesweep("rm", "1", answer="y\n")
    assert result.exit_code == 2
    assert "Remove 1 run? This is not a terminal, so nobody can be asked: say --yes" in result.stderr
    assert states(store) == ["pending"] * 4
    result = stalesweep("rm", "1", "--dry-run")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Nothing was removed.")
    assert states(store) == ["pending"] * 4
    assert stalesweep("rm", "1", "-y").exit_code == 0
    assert states(store) == ["cancelled", "pending", "pending", "pending"]
    assert stalesweep("rm", "1", "-y").exit_code == 3
    assert stalesweep("rm").exit_code == 2, "never all by default"


def test_rm_of_a_running_run(store: Store, directories: dict[int, Path]) -> None:
    attempt = begun(store, directories[2])
    result = stalesweep("rm", "demo", "-y")
    assert result.exit_code == 2
    assert "1 of these runs are running and were left as they are: 2" in result.stderr
    assert states(store) == ["pending", "running", "pending", "pending"]
    attempt.journal.close()
    assert stalesweep("rm", "demo", "-y").exit_code == 0, "its process is gone, so it does not run"
    assert states(store) == ["cancelled"] * 4


def test_rm_of_an_import(store: Store, tmp_path: Path) -> None:
    test_an_imported_run(store, tmp_path)
    result = stalesweep("rm", "paper", "-y")
    assert result.stdout.splitlines()[-1] == (
        "sweep paper was an import and is gone altogether: its file can be imported again"
    )
    assert "Their configs stay" not in result.stdout
    test_an_imported_run(store, tmp_path)


def test_rm_says_where_space_is(store: Store, directories: dict[int, Path]) -> None:
    attempt = begun(store, directories[1])
    with recording_of(attempt, store) as recording:
        recording.emit(START)
        for sync in range(4000):
            attempt.journal.append("sync", dataclasses.asdict(sync_record(sync, learner_step=1)))
    attempts.lose(store, attempt.claim, "gone")
    result = stalesweep("rm", "1", "-y")
    assert result.exit_code == 0
    said = re.search(r"[\d.]+ MB of .*\.db are free now.* runs: sqlite3 .*\.db VACUUM", result.stderr)
    assert bool(said) == store.url.startswith("sqlite")


# gc


def test_gc_frees_and_asks_above_ten(
    store: Store, directories: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in directories.values():
        trained(store, directory)
    result = stalesweep("gc", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "checkpoints             8       6.0 kB", "in all                  8       6.0 kB",
        *(
            str(directory / f"checkpoint-{name}")
            for directory in directories.values() for name in ("00000040.pt", "00000042.partial")
        ),
        "Nothing was removed.",
    ]  # fmt: skip
    assert stalesweep("gc", "1").exit_code == 0, "two files: no question"
    assert stalesweep("gc", "1").exit_code == 3
    for number in range(10):
        (directories[2] / f"checkpoint-0000000{number}.pt").write_bytes(b"x")
    refused = stalesweep("gc")
    assert (refused.exit_code, "say --yes" in refused.stderr) == (2, True)
    asked = on_a_terminal(monkeypatch, answer=True)
    assert stalesweep("gc").exit_code == 0
    assert asked == ["Remove these 16 files?"]
    assert not list(directories[2].glob("checkpoint-*"))
    assert stalesweep("gc", "--all", "--checkpoints").exit_code == 2
    assert "run directories         4" in stalesweep("gc", "--all", "-y").stdout
    assert not directories[1].exists()
    assert stalesweep("gc", "--all").exit_code == 3
    assert stalesweep("status").exit_code == 0
