"""The lags of every pipeline, read from tokens that carry the version of their sampler, inline and in processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from grpo_worker.loop import latest_checkpoint
from grpo_worker.model.batches import RolloutBatch
from grpo_worker.rollout.pipelines import Pipeline
from grpo_worker.rollout.sampler.pool import ProcessPool, Sampled
from grpo_worker.schema.errors import LagError, SamplerError
from grpo_worker.schema.records import FinishRecord, Record, StartRecord, from_json
from grpo_worker.train.learner import Learner, StepMetrics
from tests.conftest import tiny_run
from tests.support import children, fakes
from tests.support.runs import measured, records_of, stop_after, syncs_of
from tests.support.waiting import wait_for

INLINE, OWN_PROCESS = {"process": False}, {"process": True}
SMALL = {"prompts_per_batch": 2, "group_size": 2}


@pytest.fixture
def consumed(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """The lags (modulo 10) that each learner step consumes, by the versions written into the tokens."""
    seen: dict[int, set[int]] = {}
    original = Learner.step

    def spying_step(self: Learner, batch: RolloutBatch) -> StepMetrics:
        is_version_BT = (batch.mask_BT > 0) & (batch.token_BT < 10)
        seen[self.steps] = set(((self.steps - batch.token_BT[is_version_BT]) % 10).tolist())
        return original(self, batch)

    monkeypatch.setattr(Learner, "step", spying_step)
    return seen


def lag_by_definition(pipeline: str, k: int, step: int) -> int:
    """The lag of each pipeline, written differently from `grpo_worker.rollout.pipelines`."""
    match pipeline:
        case "reuse":
            return step - (step // k) * k
        case "overlap":
            return step if step < k else k + step % k
        case _:
            return min(step, k)


@pytest.mark.parametrize("sampler", [INLINE, OWN_PROCESS], ids=["inline", "process"])
@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize(
    ("pipeline", "reuse"),
    [("reuse", "replay"), ("reuse", "split"), ("overlap", "replay"), ("overlap", "split"), ("delay", "replay")],
)
def test_lags_are_those_written_into_the_tokens(
    policy_cache: Path, consumed: dict[int, set[int]], pipeline: str, reuse: str, k: int, sampler: dict[str, bool]
) -> None:
    config = tiny_run(k=k, pipeline=pipeline, reuse=reuse, horizon=14, sampler=sampler, **SMALL)
    syncs = syncs_of(records_of(config, policy_cache, make_sampler=fakes.VersionSampler))
    assert sorted(consumed) == list(range(14))
    for step, lags in consumed.items():
        assert lags == {lag_by_definition(pipeline, k, step)}
    length = 1 if pipeline == "delay" else k
    assert [sync.learner_step for sync in syncs] == list(range(0, 14, length))
    for sync in syncs:
        lags = [lag for step in range(sync.learner_step, min(sync.learner_step + length, 14)) for lag in consumed[step]]
        assert (sync.lag_min, sync.lag_max) == (min(lags), max(lags))
        if reuse == "replay":
            assert sync.lag_mean == pytest.approx(sum(lags) / len(lags))


@pytest.mark.parametrize(("count", "every"), [(1, 1), (1, 3), (2, 1)])
def test_queue_keeps_its_bound_and_records_the_lag_it_had(
    policy_cache: Path, consumed: dict[int, set[int]], count: int, every: int
) -> None:
    k = 4
    config = tiny_run(k=k, pipeline="queue", horizon=30, sampler={"count": count}, sync_every_steps=every, **SMALL)
    syncs = syncs_of(records_of(config, policy_cache, make_sampler=fakes.VersionSampler))
    assert sorted(consumed) == list(range(30))
    for sync in syncs:
        lags = [lag for step in range(sync.learner_step, sync.learner_step + every) for lag in consumed[step]]
        assert (sync.lag_min, sync.lag_max) == (min(lags), max(lags))
        assert 0 <= sync.lag_min <= sync.lag_max <= k
    if count == 1:  # nothing overtakes a batch, and all that was admitted is consumed, at a lag of k too
        assert sum(sync.dropped_groups for sync in syncs) == 0


def test_queue_drops_what_others_overtook_counts_it_and_replaces_it(
    policy_cache: Path, consumed: dict[int, set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[Sampled | None] = []
    original = ProcessPool.collect

    def counting_collect(self: ProcessPool, *, wait: bool = True) -> Sampled | None:
        collected.append(original(self, wait=wait))
        return collected[-1]

    monkeypatch.setattr(ProcessPool, "collect", counting_collect)
    config = tiny_run(k=3, pipeline="queue", horizon=24, sampler={"count": 2}, **SMALL)
    syncs = syncs_of(records_of(config, policy_cache, make_sampler=fakes.SlowFirstSampler))
    assert sorted(consumed) == list(range(24)), "a dropped batch is replaced"
    assert max(sync.lag_max for sync in syncs) <= 3
    dropped = len(collected) - 24  # the slow one; on a busy machine others may be overtaken too
    assert dropped >= 1
    assert sum(sync.dropped_groups for sync in syncs) == dropped * config.prompts_per_batch


@pytest.mark.parametrize("pipeline", ["reuse", "overlap", "delay"])
def test_a_sampler_beside_the_learner_gives_the_bits_of_one_between_its_steps(
    policy_cache: Path, pipeline: str
) -> None:
    inline, beside = (
        measured(records_of(tiny_run(k=3, pipeline=pipeline, horizon=14, eta=1e-3, sampler=sampler), policy_cache))
        for sampler in (INLINE, OWN_PROCESS)
    )
    assert inline == beside
    assert len({sync.reward for sync in syncs_of(inline)}) > 2


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("reuse", r"learner step 2 would consume tokens with lags 1 to 1; pipeline 'reuse' with k = 2 allows 0 to 0"),
        (
            "overlap",
            r"learner step 4 would consume tokens with lags 3 to 3; pipeline 'overlap' with k = 2 allows 2 to 2",
        ),
        ("delay", r"learner step 3 would consume tokens with lags 3 to 3; pipeline 'delay' with k = 2 allows 2 to 2"),
    ],
)
def test_a_token_of_another_age_is_refused(policy_cache: Path, pipeline: str, message: str) -> None:
    config = tiny_run(pipeline=pipeline, sampler=INLINE, **SMALL)
    with pytest.raises(LagError, match=message):
        records_of(config, policy_cache, make_sampler=fakes.LateSampler)


@pytest.mark.parametrize("pipeline", ["overlap", "queue"])
def test_a_sampler_that_dies_ends_the_attempt_with_its_own_error(policy_cache: Path, pipeline: str) -> None:
    config = tiny_run(pipeline=pipeline, horizon=40, **SMALL)
    with pytest.raises(SamplerError, match=r"the sampler's process \d+ ended with exit code -9"):
        records_of(config, policy_cache, make_sampler=fakes.DyingSampler)


def test_a_sampler_that_cannot_start_says_why(policy_cache: Path) -> None:
    with pytest.raises(SamplerError, match="the sampler failed: RuntimeError: no such engine here"):
        records_of(tiny_run(pipeline="overlap", **SMALL), policy_cache, make_sampler=fakes.FailingSampler)


@pytest.mark.parametrize(
    "sampler", [pytest.param(INLINE, id="inline"), pytest.param(OWN_PROCESS, id="process", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("pipeline", "reuse"), [("reuse", "replay"), ("reuse", "split"), ("overlap", "replay"), ("delay", "replay")]
)
def test_a_run_stopped_after_any_learner_step_goes_on_with_the_same_bits(
    policy_cache: Path, tmp_path: Path, pipeline: str, reuse: str, sampler: dict[str, bool]
) -> None:
    config = tiny_run(
        k=3, pipeline=pipeline, reuse=reuse, horizon=8, eval_every_steps=4, eta=1e-3, sampler=sampler,
        prompts_per_batch=4, correction="tis",
    )  # fmt: skip
    whole = measured(records_of(config, policy_cache))
    made: list[Record] = []
    for steps in range(1, 8):  # each attempt takes one step, so that all that is lost in a checkpoint adds up
        attempt = records_of(config, policy_cache, run_dir=tmp_path, should_stop=lambda: True)
        assert attempt[-1] == FinishRecord("interrupted", steps, "half")
        made += measured(attempt)[:-1]
        if steps > 1:
            assert isinstance(attempt[0], StartRecord)
            assert attempt[0].resumed_from_step == steps - 1
            assert attempt[0].resumed_from_sync == config.last_whole_sync(steps - 1)
    last = records_of(config, policy_cache, run_dir=tmp_path)
    assert made + measured(last) == whole


def test_a_resumed_queue_consumes_every_batch_once(
    policy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets: Counter[int] = Counter()
    original = Pipeline._score

    def counting_score(self: Pipeline, sampled: Sampled) -> RolloutBatch:
        tickets[sampled.ticket] += 1
        return original(self, sampled)

    monkeypatch.setattr(Pipeline, "_score", counting_score)
    config = tiny_run(k=4, pipeline="queue", horizon=30, **SMALL)
    records: list[Record] = []
    for steps in (7, 1, 9, 100):
        made = records_of(config, policy_cache, run_dir=tmp_path, should_stop=stop_after(steps))
        records += measured(made)
    syncs = syncs_of(records)
    assert [sync.sync for sync in syncs] == list(range(30))
    assert max(sync.lag_max for sync in syncs) <= 4
    assert tickets == Counter(range(30))


def test_partial_tokens_keep_the_version_that_sampled_them(policy_cache: Path, consumed: dict[int, set[int]]) -> None:
    """A free-running engine loads new weights between two tokens, so that tokens of one completion differ in lag."""
    config = tiny_run(k=2, pipeline="queue", horizon=12, **SMALL)
    syncs = syncs_of(records_of(config, policy_cache, make_sampler=fakes.WaitingSampler))
    assert any(sync.lag_min < sync.lag_mean < sync.lag_max for sync in syncs)
    for sync in syncs:
        assert {sync.lag_min, sync.lag_max} <= consumed[sync.learner_step] <= {0, 1, 2}


LEARNER = """
import signal, sys
from pathlib import Path
import torch
from grpo_worker.rollout.sampler.pool import ProcessPool
from tests.conftest import tiny_run
from tests.support.fakes import VersionSampler

if __name__ == "__main__":
    pool = ProcessPool(VersionSampler, tiny_run(pipeline="overlap"), Path(sys.argv[1]), {}, torch.device("cpu"))
    print(pool._processes[0].pid, flush=True)
    signal.pause()
"""


@pytest.mark.slow
def test_a_sampler_process_ends_with_a_killed_learner(policy_cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "learner.py"
    script.write_text(LEARNER)
    root = Path(__file__).parents[3]
    with children.program(
        sys.executable, script, policy_cache,
        stdout=subprocess.PIPE, cwd=root, env=os.environ | {"PYTHONPATH": str(root)},
    ) as learner:  # fmt: skip
        assert learner.stdout is not None
        sampler = int(learner.stdout.readline())
        os.kill(sampler, 0)
        learner.send_signal(signal.SIGKILL)
        learner.wait()
    wait_for(lambda: not Path(f"/proc/{sampler}").exists(), "the end of the sampler")


def test_the_engine_gap_is_measured_under_the_weights_that_sampled(policy_cache: Path) -> None:
    gaps = {
        pipeline: [sync.engine_gap for sync in syncs_of(records_of(
            tiny_run(k=3, pipeline=pipeline, horizon=12, eta=5e-3, sampler=INLINE), policy_cache
        ))]
        for pipeline in ("reuse", "overlap", "delay")
    }  # fmt: skip
    for pipeline in ("reuse", "overlap"):
        assert all(gap is not None and gap < 1e-5 for gap in gaps[pipeline]), pipeline
    assert gaps["delay"][0] is not None
    assert gaps["delay"][1:] == [None] * 11


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2], ids=lambda number: number.name)
def test_a_signal_to_the_whole_job_saves_the_run_in_the_midst_of_a_cycle(
    policy_cache: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The sampler's process gets the signal too. It must ignore it, because the checkpoint waits for its batch."""
    config = tiny_run(k=1000, pipeline="overlap", horizon=1000, checkpoint_every_steps=0, checkpoint_every_s=0)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "grpo_worker", file, "--cache-dir", policy_cache, "--run-dir", tmp_path]
    with children.program(*command, stdout=subprocess.PIPE, start_new_session=True) as worker:
        assert worker.stdout is not None
        assert any('"learner_step": 8,' in line for line in iter(worker.stdout.readline, ""))
        os.killpg(worker.pid, number)
        last = worker.stdout.read().splitlines()[-1]
    finish = from_json(last)
    assert isinstance(finish, FinishRecord)
    assert finish.outcome == "interrupted"
    assert 8 <= finish.learner_steps < 1000
    assert latest_checkpoint(tmp_path) == (tmp_path / f"checkpoint-{finish.learner_steps:08d}.pt", finish.learner_steps)
