"""A learner in two processes has the losses, checkpoints and weights of a learner in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.schema.records import EvalRecord, FinishRecord, StartRecord
from grpo_worker.train.learner import Forward, Learner
from tests.conftest import tiny_run
from tests.support.runs import measured, records_of, stop_after, syncs_of

pytestmark = pytest.mark.slow


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loss of each learner step, as the first process computes it."""
    seen: list[float] = []
    original = Learner._backward

    def spying_backward(self: Learner, batch: RolloutBatch) -> Forward:
        forward = original(self, batch)
        seen.append(float(forward.loss))
        return forward

    monkeypatch.setattr(Learner, "_backward", spying_backward)
    return seen


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompts_per_forward": 3, "loss_aggregation": "token_mean", "kl_coef": 0.02, "correction": "vcpo"},
        {"pipeline": "overlap", "correction": "decoupled", "optimizer": {"name": "normalized_sgd"}, "eta": 0.05},
        {"correction": "gac", "lora": {"rank": 4}, "pack_groups": False, "eta": 3e-3},
    ],
    ids=["default", "vcpo-in-pieces", "overlap-decoupled-nsgd", "gac-lora"],
)
def test_two_ranks_follow_the_loss_curve_of_one(
    policy_cache: Path, losses: list[float], fields: dict[str, object]
) -> None:
    curves, records = [], []
    for ranks in (1, 2):
        losses.clear()
        config = tiny_run(**({"k": 4, "horizon": 24, "eta": 1e-3, "learner_ranks": ranks} | fields))
        records.append(records_of(config, policy_cache))
        curves.append(list(losses))
    assert len(curves[0]) == 24
    assert len(set(curves[0])) > 20
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    for one, two in zip(syncs_of(records[0]), syncs_of(records[1]), strict=True):
        for name in ("reward", "gradient_norm", "update_norm", "drift_in_cycle", "ess_sequence", "kl_reference"):
            assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-3, abs=1e-4), name
    assert [r.val_reward for r in records[1] if isinstance(r, EvalRecord)] == pytest.approx(
        [r.val_reward for r in records[0] if isinstance(r, EvalRecord)], abs=0.02
    )
    starts = [r[0].parameters for r in records if isinstance(r[0], StartRecord)]
    assert starts[0] == starts[1]


def test_two_ranks_agree_on_an_interval_that_depends_on_the_whole_minibatch(
    policy_cache: Path, losses: list[float]
) -> None:
    """The tolerance is larger, because M2PO counts tokens whose ratio is above 1, and many are 1 up to rounding."""
    curves = []
    for ranks in (1, 2):
        losses.clear()
        config = tiny_run(k=4, eta=1e-3, prompts_per_forward=3, correction="m2po", learner_ranks=ranks)
        records_of(config, policy_cache)
        curves.append(list(losses))
    assert curves[1] == pytest.approx(curves[0], abs=0.01)


def test_two_ranks_resume_with_the_same_bits(policy_cache: Path, tmp_path: Path) -> None:
    config = tiny_run(k=3, horizon=8, eta=1e-3, learner_ranks=2, correction="tis", checkpoint_every_steps=0)
    whole = measured(records_of(config, policy_cache))
    first = records_of(config, policy_cache, run_dir=tmp_path, should_stop=stop_after(4))
    second = records_of(config, policy_cache, run_dir=tmp_path)
    assert measured(first)[:-1] + measured(second) == whole


def test_a_rank_that_fails_ends_the_run(policy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Learner.step

    def failing_step(self: Learner, batch: RolloutBatch) -> object:
        if self.steps == 3:
            raise KeyboardInterrupt
        return original(self, batch)

    monkeypatch.setattr(Learner, "step", failing_step)
    with pytest.raises(KeyboardInterrupt):
        records_of(tiny_run(learner_ranks=2), policy_cache)


def test_divergence_ends_all_ranks(policy_cache: Path) -> None:
    config = tiny_run(learner_ranks=2, eta=1e30, optimizer={"name": "sgd", "warmup_steps": 0, "grad_clip": 0})
    finish = records_of(config, policy_cache)[-1]
    assert isinstance(finish, FinishRecord)
    assert finish.outcome == "diverged"
