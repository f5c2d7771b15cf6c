"""Runs → job arrays: within the cluster's limits, in order, each run once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import NothingToDo
from orchestrator.grid.sweep import Resources, load_sweep
from orchestrator.jobs.slurm.arrays import ArrayPlan, Executor, describe, parameters, plan
from orchestrator.jobs.slurm.limits import Limits

SMALL, LARGE = Resources(), Resources(gpus=1, mem_gb=80)


def planned(
    counts: list[tuple[Resources, int]], *, array: int = 1000, jobs: int | None = None, there: int = 0
) -> ArrayPlan:
    """Plan runs 1, 2, … of several resources; each run is in the plan once, and in order within its resources."""
    numbers = itertools.count(1)
    needs = {next(numbers): resources for resources, count in counts for _ in range(count)}
    found = plan(needs, lambda _: Limits(array, jobs, there, "MaxSubmitJobs of account lab"))
    runs = [run for one in found.arrays for share in one.shares for run in share]
    assert sorted(runs) == sorted(needs)
    for resources, _ in counts:
        own = [run for one in found.arrays if one.resources == resources for share in one.shares for run in share]
        assert own == [run for run, asked in needs.items() if asked == resources]
    assert all(1 <= len(one.shares) <= array for one in found.arrays)
    assert jobs is None or sum(len(one.shares) for one in found.arrays) <= jobs - there
    return found


def sizes(found: ArrayPlan) -> list[tuple[int, int]]:
    """Of each array: its tasks, and the most runs of one."""
    return [(len(one.shares), max(map(len, one.shares))) for one in found.arrays]


@pytest.mark.parametrize(
    ("runs", "per_job", "array", "expected"),
    [
        (1, 1, 1000, [(1, 1)]),
        (25, 1, 10, [(10, 1), (10, 1), (5, 1)]),
        (20, 1, 10, [(10, 1), (10, 1)]),
        (25, 10, 1000, [(3, 10)]),
        (25, 2, 10, [(10, 2), (3, 2)]),
        (10_000, 25, 1000, [(400, 25)]),
        (5, 100, 1, [(1, 5)]),
    ],
)
def test_chunks(runs: int, per_job: int, array: int, expected: list[tuple[int, int]]) -> None:
    found = planned([(Resources(runs_per_job=per_job), runs)], array=array)
    assert sizes(found) == expected
    assert found.notes == []


def test_runs_of_equal_resources_share_arrays() -> None:
    found = planned([(SMALL, 3), (LARGE, 2), (Resources(gpus=0), 4), (Resources(slurm={"exclude": "node3"}), 1)])
    assert [(one.resources.gpus, len(one.shares)) for one in found.arrays] == [(0, 7), (1, 2), (0, 1)]


def test_fewer_free_jobs_than_runs() -> None:
    found = planned([(SMALL, 25)], jobs=12, there=2)
    assert sizes(found) == [(9, 3)]
    (note,) = found.notes
    assert note.startswith("MaxSubmitJobs of account lab allows 12 jobs, 10 of them are free: up to 3 runs share a job")
    assert sizes(planned([(SMALL, 25)], jobs=25)) == [(25, 1)]
    assert sizes(planned([(SMALL, 10_000)], array=1000, jobs=9999)) == [(1000, 2)] * 5
    assert sizes(planned([(Resources(runs_per_job=4), 25), (LARGE, 3)], jobs=2)) == [(1, 25), (1, 3)]


def test_no_free_job() -> None:
    with pytest.raises(NothingToDo, match="you have 12 jobs in the queue, and MaxSubmitJobs of account lab allows 12"):
        planned([(SMALL, 25)], jobs=12, there=12)
    with pytest.raises(NothingToDo, match="launch again when some have ended"):
        planned([(SMALL, 1), (LARGE, 1)], jobs=1)


def test_the_tightest_limit_of_those_asked_for_counts() -> None:
    asked = []

    def limits_of(resources: Resources) -> Limits:
        asked.append(resources.partition)
        jobs = {"gpu": 3, None: 100}[resources.partition]
        return Limits(1000, jobs, 0, f"partition {resources.partition}")

    needs = {1: SMALL, 2: LARGE, **dict.fromkeys(range(3, 9), Resources(partition="gpu"))}
    found = plan(needs, limits_of)
    assert asked == [None, "gpu"], "once each"
    assert sum(len(one.shares) for one in found.arrays) == 3


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"time": 30, "cpus_per_task": 1, "mem": "2048MB", "signal_delay_s": 90, "array_parallelism": 256}),
        ({"mem_gb": 0.3, "time_min": 1}, {"mem": "308MB", "time": 1, "signal_delay_s": 12}),
        ({"gpus": 2, "gres": "gpu:a100:2"}, {"gpus_per_node": 2, "gres": "gpu:a100:2"}),
        ({"partition": "gpu", "account": "lab", "qos": "long", "constraint": "a100"},
         {"partition": "gpu", "account": "lab", "qos": "long", "constraint": "a100"}),
        ({"slurm": {"mail-user": "me", "setup": ["module load cuda"], "srun-args": ["--cpu-bind=cores"]}},
         {"mail_user": "me", "setup": ["module load cuda"], "srun_args": ["--cpu-bind=cores"]}),
        ({"slurm": {"nice": 10, "reservation": "mine", "requeue": True, "hold": False}},
         {"additional_parameters": {"nice": 10, "reservation": "mine", "requeue": True}}),
    ],
)  # fmt: skip
def test_resources_in_submitits_spelling(asked: dict[str, Any], expected: dict[str, Any]) -> None:
    found = parameters(Resources(**asked))
    assert {name: found[name] for name in expected} == expected
    assert set(found) >= {"time", "mem", "cpus_per_task"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", "requeue"),
        ("{requeue: true}", "requeue"),
        ("{no-requeue: false}", "requeue"),
        ("{no-requeue: true}", "no-requeue"),
        ("{no_requeue: true}", "no-requeue"),
        ("{requeue: false}", "no-requeue"),
    ],
)
def test_whether_slurm_may_requeue_a_job(
    written: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "srun").touch(0o755)  # submitit looks for it
    monkeypatch.setenv("PATH", str(tmp_path))
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"grid: {{model: [tiny], k: [2], eta: [1e-3], seed: [0]}}\nresources: {{slurm: {written}}}\n")
    [run] = load_sweep(grid).runs
    executor = Executor(tmp_path, "orchestrator.jobs.slurm.task", run.resources, "stalesweep-grid-ab12", "ab12")
    script = executor._make_submission_file_text("true", "ab12").splitlines()
    assert [line for line in script if line.endswith("requeue")] == [f"#SBATCH --{expected}"]


def test_an_array_is_described() -> None:
    (array,) = planned([(Resources(runs_per_job=2, partition="gpu"), 5)]).arrays
    assert describe(array) == (
        "Array of 3 tasks for 5 runs: time = 30, cpus_per_task = 1, mem = 2048MB, array_parallelism = 256, "
        "signal_delay_s = 90, partition = gpu"
    )


def test_what_a_job_asks_for_is_on_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").touch(0o755)  # submitit looks for it
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = Resources(mem_gb=1.5, time_min=5, python="/opt/my python/bin/python", slurm={"nice": 3})
    executor = Executor(tmp_path, "a.module", asked, "stalesweep-demo-ab12", "ab12")
    assert executor._submitit_command_str == f"/opt/my python/bin/python -u -m a.module {tmp_path}"
    script = executor._make_submission_file_text(executor._submitit_command_str, "ab12").splitlines()
    for line in ("job-name=stalesweep-demo-ab12", "comment='stalesweep ab12'", "mem=1536MB", "time=5", "nice=3",
                 "requeue", "signal=USR2@60"):  # fmt: skip
        assert any(one.replace('"', "'") == f"#SBATCH --{line}" for one in script), (line, script)
    assert executor._make_submission_command(tmp_path / "script") == [
        "timeout",
        "60",
        "sbatch",
        str(tmp_path / "script"),
    ]


@pytest.mark.parametrize(("minutes", "delay_s"), [(1, 12), (7, 84), (8, 90), (9, 90), (600, 90)])
def test_how_long_before_its_time_limit_a_job_is_asked_to_end(minutes: int, delay_s: int) -> None:
    assert parameters(Resources(time_min=minutes))["signal_delay_s"] == delay_s


def test_an_array_of_one_run_each_is_described_without_their_number() -> None:
    (array,) = planned([(Resources(mem_gb=0.5), 3)]).arrays
    assert describe(array).startswith("Array of 3 tasks: time = 30, cpus_per_task = 1, mem = 512MB")
