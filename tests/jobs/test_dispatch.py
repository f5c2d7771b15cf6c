"""Launching on Slurm, whose commands only answer: what is submitted, found again, judged, settled and tried again."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from orchestrator.base.errors import SlurmUnavailable, UsageError
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs.slurm import client, dispatch
from orchestrator.jobs.slurm.survey import log_paths, settle, survey
from orchestrator.jobs.status import status_of
from orchestrator.jobs.training import Training
from orchestrator.store import attempts, queries, registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.models import RunRow
from tests.support.lives import launched
from tests.support.stand_in import StandIn
from tests.support.stores import ORIGIN, next_claim


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_folder: Path) -> StandIn:
    stand_in = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    (stand_in.folder / "srun").touch(0o755)  # submitit looks for it
    return stand_in


@pytest.fixture
def sweep_id(store: Store, grid: Callable[..., Sweep]) -> int:
    return registration.register(store, grid())


def says(slurm: StandIn, command: str, *lines: str, fails: bool = False) -> None:
    """Let a command of Slurm's print lines, or fail with them."""
    text, where = "\n".join(lines), ">&2; exit 1" if fails else ""
    (slurm.folder / command).write_text(f"#!/bin/sh\n[ -z '{text}' ] || echo '{text}' {where}\n")
    (slurm.folder / command).chmod(0o755)


def submitted(store: Store, sweep_id: int, job_id: str | None, *runs: int, token: str = "ab12") -> None:
    """Store an array with a task for each run."""
    name, folder = f"stalesweep-demo-{token}", str(Path(os.environ["STALESWEEP_RUNS"]) / "jobs" / token)
    submissions.open_submission(
        store, sweep_id, token=token, job_name=name, folder=folder, resources={}, shares=[[run] for run in runs]
    )
    if job_id:
        submissions.answer(store, token, job_id)


def failed(store: Store, run_id: int, failure_class: str, node: str | None = None, state: str = "lost") -> None:
    """An attempt that ended so."""
    claim, origin = next_claim(store, run_id), dataclasses.replace(ORIGIN, executor="slurm", node=node)
    attempts.begin(store, claim, origin, resumed_from_sync=None, resumed_from_step=None)
    attempts.lose(store, claim, "gone", failure_class, state)


def states(store: Store, sweep_id: int) -> list[str]:
    return [run.state for run in queries.progress(store, sweep_id)]


def test_runs_are_submitted_with_what_their_tasks_need(
    store: Store, sweep_id: int, slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALESWEEP_JOBS_WRITE", "journal")
    directories, said = launched(store, sweep_id), list[str]()
    failed(store, 3, "out_of_memory", state="failed")
    dispatch.submit(store, sweep_id, "demo", {run: directories[run] for run in (1, 2, 3)}, said.append)
    assert said == [
        "more memory than the grid says, 3 GB at most, for 1 run that had too little",
        "submitted array 1001: 2 tasks, 2 runs", "submitted array 1002: 1 tasks, 1 runs",
    ]  # fmt: skip
    first, second = submissions.of_sweep(store, sweep_id)
    assert [(one.job_id, one.job_name, one.tasks) for one in (first, second)] == slurm.submitted
    assert all(one.job_name == f"stalesweep-demo-{one.token}" and one.token in one.folder for one in (first, second))
    assert (first.resources["mem_gb"], second.resources["mem_gb"]) == (2.0, 3.0)
    content = json.loads((Path(first.folder) / "shares.json").read_text())
    assert content["shares"] == [[str(directories[1])], [str(directories[2])]]
    assert (content["executor"], content["writes"], content["margin_s"]) == ("slurm", "journal", 90)
    assert content["database"] and content["requeues"] > 0
    script = next(Path(first.folder).glob("*.sh")).read_text()
    assert f"-u -m orchestrator.jobs.slurm.task {first.folder}" in script
    assert f"stalesweep {first.token}" in script
    assert states(store, sweep_id) == ["queued", "queued", "queued", "pending"]
    found = survey(store, sweep_id)
    assert [found.job_of(run) for run in (1, 2, 3)] == ["1001_0", "1001_1", "1002_0"]


def test_an_array_that_slurm_refuses_leaves_its_runs_pending(store: Store, sweep_id: int, slurm: StandIn) -> None:
    directories = launched(store, sweep_id)
    says(slurm, "sbatch", "sbatch: error: Invalid account", fails=True)
    with pytest.raises(UsageError, match=r"Slurm refused the submission: .*Invalid account"):
        dispatch.submit(store, sweep_id, "demo", directories, print)
    assert (states(store, sweep_id), submissions.of_sweep(store, sweep_id)) == (["pending"] * 4, [])
    says(slurm, "sbatch", "sbatch: error: Unable to contact slurm controller", fails=True)
    with pytest.raises(SlurmUnavailable, match="did not say whether it took the submission"):
        dispatch.submit(store, sweep_id, "demo", directories, print)
    [unknown] = submissions.of_sweep(store, sweep_id)
    assert (states(store, sweep_id), unknown.job_id) == (["queued"] * 4, None)


def test_runs_ask_for_more_memory_and_avoid_failed_nodes(store: Store, grid: Callable[..., Sweep]) -> None:
    sweep = grid()
    asked = [run.resources.model_copy(update={"slurm": {"exclude": "node9", "nice": 1}}) for run in sweep.runs]
    runs = [dataclasses.replace(run, resources=one) for run, one in zip(sweep.runs, asked, strict=True)]
    sweep_id = registration.register(store, dataclasses.replace(sweep, runs=tuple(runs)))
    for run_id, failure_class, node in (
        (1, "out_of_memory", "node1"), (1, "out_of_memory", "node1"),
        (2, "node_failure", "node2"), (2, "node_failure", "node1"), (3, "killed", "node3"),
    ):  # fmt: skip
        failed(store, run_id, failure_class, node)
    found = dispatch.needs(store, sweep_id, [1, 2, 3, 4])
    assert {run_id: one.mem_gb for run_id, one in found.items()} == {1: 4.5, 2: 2.0, 3: 2.0, 4: 2.0}
    assert {run_id: one.slurm["exclude"] for run_id, one in found.items()} == {
        1: "node9", 2: "node1,node2,node9", 3: "node9", 4: "node9",
    }  # fmt: skip
    assert found[2].slurm["nice"] == 1
    assert found[2].model_copy(update={"slurm": asked[1].slurm}) == asked[1]


def test_a_lost_answer_is_found_or_the_submission_withdrawn(
    store: Store, sweep_id: int, slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(store, sweep_id, None, 1, 2)
    submitted(store, sweep_id, None, 3, token="cd34")
    submitted(store, sweep_id, "77", 4, token="ef56")
    for name, job_id in (("ab12", "9"), ("ab12", "10")):
        with (slurm.folder / "submitted").open("a") as file:
            file.write(f"{job_id}|stalesweep-demo-{name}|2\n")
    monkeypatch.setattr(client, "SUBMISSION_TIMEOUT_S", -4.6)
    said: list[str] = []
    dispatch.find_lost_answers(store, sweep_id, said.append)
    assert said == [
        "found array 10, whose submission was interrupted",
        "a submission was interrupted, and may yet reach Slurm: asking for it for up to 0 s",
    ]
    assert {one.token: one.job_id for one in submissions.of_sweep(store, sweep_id)} == {"ab12": "10", "ef56": "77"}
    assert states(store, sweep_id) == ["queued", "queued", "pending", "queued"]


@pytest.mark.parametrize(
    ("queue", "accounts", "expected"),
    [
        ("PENDING||Priority", "", ("queued", "Priority", None)),
        ("PENDING||JobHeldUser", "", ("queued", "it is held", None)),
        ("RUNNING|node1|None", "", ("queued", "its job runs on node1", None)),
        ("FAILED|node1|NonZeroExitCode", "FAILED|node1|3:0", ("failed", "exit code 3 before the run began: no python",
                                                             "never_began")),
        ("", "NODE_FAIL|node1|0:0", ("lost", "its node failed (node1)", "node_failure")),
        ("", "CANCELLED by 0|None assigned|0:0", ("cancelled", "its job was cancelled by 0", "cancelled")),
    ],
)  # fmt: skip
def test_what_slurm_says_of_a_run_is_shown_and_then_stored(
    store: Store, sweep_id: int, slurm: StandIn, queue: str, accounts: str, expected: tuple[str, str, str | None]
) -> None:
    submitted(store, sweep_id, "77", 1, 2)
    name = "stalesweep-demo-ab12"
    says(slurm, "squeue", f"77|1|{name}|RUNNING|node2|None", *([f"77|0|{name}|{queue}"] if queue else []))
    says(slurm, "sacct", *([f"77_0|{name}|{accounts}"] if accounts else []))
    found = survey(store, sweep_id)
    log = log_paths(found.submissions[1], 0)[1]
    assert log.name == "77_0_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text("loading\nno python\n")
    state, detail, failure_class = expected
    shown = status_of(store, "demo").runs[0]
    assert (shown.state, shown.job, shown.needs_help) == (state, "77_0", "JobHeldUser" in queue)
    assert detail in shown.detail and shown.failure_class == failure_class
    assert (shown.failure == shown.detail) == (failure_class is not None)
    settle(store, survey(store, sweep_id))
    stored = queries.progress(store, sweep_id)[0]
    assert (stored.state, stored.failure_class) == (state, failure_class)
    assert failure_class is None or detail in (stored.failure or "")


@pytest.mark.parametrize("silent", ["squeue", "sacct"])
def test_a_slurm_that_does_not_answer_leaves_all_as_it_is(
    store: Store, sweep_id: int, slurm: StandIn, silent: str
) -> None:
    submitted(store, sweep_id, "77", 1)
    says(slurm, "squeue")
    says(slurm, silent, f"{silent}: error: away", fails=True)
    found = survey(store, sweep_id)
    who = "Slurm does not answer" if silent == "squeue" else "Slurm's accounting does not answer"
    assert found.silence == status_of(store, "demo").silence == f"{who}: {silent}: error: away"
    assert (found.standings[1].state, found.standings[1].held) == ("unknown", None)
    settle(store, found)
    assert states(store, sweep_id)[0] == "queued"
    assert dispatch.settle_and_choose(store, sweep_id, found) == [2, 3, 4], "it may have a job"


def test_an_id_that_belongs_to_another_job_by_now_is_a_forgotten_job(
    store: Store, sweep_id: int, slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.jobs.slurm.standing._LAG_S", -1.0)
    submitted(store, sweep_id, "77", 1)
    says(slurm, "squeue")
    (slurm.folder / "sacct").write_text(
        "#!/bin/sh\ncase \"$*\" in *--starttime=now-60seconds*--jobs=77*) echo '77_0|another';; esac\n"
    )
    assert survey(store, sweep_id).standings[1].failure_class == "forgotten"
    (slurm.folder / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    found = survey(store, sweep_id)
    assert (found.standings[1].failure_class, found.silence) == ("forgotten", "")
    assert "keeps no accounts" in found.standings[1].detail


def test_attempts_are_lost_as_slurm_says_and_local_ones_are_not_judged(
    store: Store, sweep_id: int, slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(store, sweep_id, "77", 1)
    for run_id, executor in ((1, "slurm"), (2, "local"), (3, "slurm")):
        origin = dataclasses.replace(ORIGIN, executor=executor, job_id="77", task_id="0")
        attempts.begin(store, next_claim(store, run_id), origin, resumed_from_sync=None, resumed_from_step=None)
    says(slurm, "squeue")
    says(slurm, "sacct", "77_0|stalesweep-demo-ab12|OUT_OF_MEMORY|node1|0:125")
    found = survey(store, sweep_id)
    assert {run_id: one.state for run_id, one in found.standings.items()} == {1: "failed", 3: "running"}
    assert found.job_of(3) is None
    chosen = dispatch.settle_and_choose(store, sweep_id, found)
    assert states(store, sweep_id) == ["failed", "running", "running", "pending"]
    assert chosen == [1, 4], "one out-of-memory is tried again"
    assert [run.run_id for run in status_of(store, "demo").failures] == [1]
    assert status_of(store, "demo").interruptions == {1: {"out_of_memory": 1}}


def test_runs_are_tried_again_as_often_as_their_failure_class_allows(
    store: Store, sweep_id: int, slurm: StandIn
) -> None:
    failed(store, 1, "exception", state="failed")
    for _ in range(queries.run_resources(store, sweep_id)[1].retries_of("node_failure")):
        failed(store, 2, "node_failure")
        failed(store, 3, "node_failure")
    failed(store, 3, "node_failure")
    assert dispatch.settle_and_choose(store, sweep_id, survey(store, sweep_id)) == [2, 4]


def test_training_on_slurm_tries_lost_runs_again_and_those_that_are_added(
    store: Store, sweep_id: int, slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.jobs.training._POLL_S", 0.0)
    monkeypatch.setattr("orchestrator.jobs.training._SURVEY_S", -1.0)
    said: list[str] = []
    training = Training(store, sweep_id, "demo", said.append)
    assert training.runs() == [1, 2, 3, 4]
    for run_id in (1, 2):
        failed(store, run_id, "node_failure", "node1")
    shown: list[list[str]] = []
    refills = iter([True, False, False, False, False])

    def on_poll(progress: list[queries.RunProgress]) -> None:
        shown.append([run.state for run in progress])
        if len(shown) == 3:  # now all jobs are gone
            says(slurm, "squeue")
            says(slurm, "sacct", *(f"{one}|CANCELLED|node1|0:0" for one in names()))

    def names() -> list[str]:
        return [f"{job}_{i}|{name}" for job, name, tasks in slurm.submitted for i in range(tasks)]

    status = training.train([3], "slurm", on_poll, only={1, 3}, refill=lambda _: next(refills))
    assert said == [
        "submitted array 1001: 1 tasks, 1 runs", "submitted array 1002: 1 tasks, 1 runs", "1 run is tried again",
        "submitted array 1003: 1 tasks, 1 runs", "submitted array 1004: 1 tasks, 1 runs",
    ]  # fmt: skip
    assert shown[1] == ["queued"] * 4
    assert (status.name, status.states) == ("demo", {"cancelled": 4})


def test_a_queue_that_answers_is_believed_though_the_accounts_are_silent(
    store: Store, sweep_id: int, slurm: StandIn
) -> None:
    for run, token in ((1, "ab12"), (2, "cd34")):
        submitted(store, sweep_id, f"7{run}", run, token=token)
    says(slurm, "squeue", "72|0|stalesweep-demo-cd34|PENDING||Priority")
    (slurm.folder / "sacct").write_text('#!/bin/sh\necho "$@" >> $0.asked; echo away >&2; exit 1\n')
    found = survey(store, sweep_id)
    assert {run: (one.state, one.detail) for run, one in found.standings.items()} == {
        1: ("unknown", "its job is not in the queue, and Slurm's accounting does not answer: sacct: away"),
        2: ("queued", "Priority"),
    }
    [asked] = (slurm.folder / "sacct.asked").read_text().splitlines()
    assert asked.endswith(" --jobs=71"), "only those that the queue does not have"
    says(
        slurm, "squeue", *(f"7{run}|0|stalesweep-demo-{name}|PENDING||None" for run, name in ((1, "ab12"), (2, "cd34")))
    )
    assert survey(store, sweep_id).silence == ""
    assert (slurm.folder / "sacct.asked").read_text().splitlines() == [asked], "nothing to ask for"


def test_a_run_that_never_began_is_tried_again_as_often_as_that_is_allowed(
    store: Store, sweep_id: int, slurm: StandIn
) -> None:
    allowed = queries.run_resources(store, sweep_id)[1].retries_of("never_began")
    with store.write() as connection:
        connection.execute(update(RunRow).where(RunRow.id == 1).values(state="failed", failure_class="never_began"))
    chosen = dispatch.settle_and_choose(store, sweep_id, survey(store, sweep_id))
    assert chosen == ([1, 2, 3, 4] if allowed else [2, 3, 4])
