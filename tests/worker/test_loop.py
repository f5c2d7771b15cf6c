"""The loop on the real tiny policy: lags, equality with a synchronous loop, determinism, resume, endings."""

from __future__ import annotations

import copy
import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from grpo_worker.loop import latest_checkpoint
from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.policy import load_policy
from grpo_worker.rollout.advantages import group_advantages
from grpo_worker.rollout.pipelines import Pipeline
from grpo_worker.rollout.sampler.engines import load_sampler
from grpo_worker.rollout.sampler.hf import HfSampler
from grpo_worker.rollout.sampler.pool import InlinePool
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import CheckpointError, Diverged
from grpo_worker.schema.records import EvalRecord, FinishRecord, StartRecord, SyncRecord, from_json
from grpo_worker.system.randomness import generator
from grpo_worker.tasks import load_task
from grpo_worker.train import learner as learner_module
from grpo_worker.train.learner import Learner
from tests.conftest import tiny_run
from tests.support.runs import measured, of_type, records_of

CPU = torch.device("cpu")


def first_batch(config: WorkerConfig, cache: Path) -> tuple[Pipeline, RolloutBatch]:
    """A pipeline that has sampled its first batch from the initial policy."""
    samplers = InlinePool(load_sampler(config, cache))
    pipeline = Pipeline(config, load_task(config.task), load_policy(config, cache, CPU), samplers)
    pipeline.sync({}, 0)
    fetched = pipeline.fetch(0)
    assert fetched is not None
    return pipeline, fetched.batch


def test_replay_uses_each_rollout_k_times_and_split_once(policy_cache: Path) -> None:
    for reuse, prompts, uses in (("replay", 2, 3), ("split", 6, 1)):
        config = tiny_run(k=3, reuse=reuse, prompts_per_batch=2, group_size=2)
        pipeline, batch = first_batch(config, policy_cache)
        assert len(batch) == prompts * 2
        consumed = torch.cat([pipeline.minibatch(step)[0].behavior_logp_BT for step in range(3)])
        assert len(consumed) == 3 * 2 * 2
        assert torch.equal(consumed, batch.behavior_logp_BT.repeat(uses, 1))


def synchronous_grpo(config: WorkerConfig, cache: Path) -> tuple[Tensor, list[float]]:
    """On-policy GRPO as a plain loop: sample, score, one gradient step; no pipeline and no flat parameters."""
    torch.set_num_threads(1)
    task, policy = load_task(config.task), load_policy(config, cache, CPU)
    sampler = HfSampler(copy.deepcopy(policy), 1.0)
    parameters = list(policy.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=config.eta, betas=(0.9, 0.999), weight_decay=0.0)
    rewards = []
    for step in range(config.horizon):
        rows = torch.randperm(len(task.train), generator=generator(config.seed, "prompts", step))
        problems = [task.train[row] for row in rows[: config.prompts_per_batch].tolist()]
        prompts = policy.encode(problems)
        uniform = torch.rand(
            len(problems) * config.group_size, 4, generator=generator(config.seed, "completions", step)
        )
        sampler.load(policy.model.state_dict(), step)
        completions = sampler.sample(prompts, config.group_size, uniform)
        texts = policy.decode(completions.token_BT, completions.mask_BT)
        sums = [sum(map(int, problem.prompt.rstrip("=").split("+"))) for problem in problems]
        reward = torch.tensor([float(text == str(sums[i // config.group_size])) for i, text in enumerate(texts)])
        rewards.append(float(reward.mean()))
        advantage = group_advantages(reward.view(-1, config.group_size), divide_by_std=True).flatten()

        repeated = prompts.repeat(config.group_size)
        batch = RolloutBatch(
            repeated.token_PS, repeated.mask_PS, completions.token_BT, completions.mask_BT, completions.logp_BT,
            completions.logp_BT, completions.logp_BT, completions.version_BT, reward, advantage,
        )  # fmt: skip
        logp, _ = policy.completion_log_probs(batch, 1.0, config.group_size)
        ratio = torch.exp(logp - completions.logp_BT)
        clipped = torch.clamp(ratio, 1 - config.clip_eps, 1 + config.clip_eps)
        objective = torch.minimum(ratio * advantage[:, None], clipped * advantage[:, None])
        loss = -((objective * completions.mask_BT).sum(1) / completions.mask_BT.sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm().item()
        for p in parameters:
            if p.grad is not None and norm > 1.0:
                p.grad.mul_(1.0 / norm)
        for group in optimizer.param_groups:
            group["lr"] = config.eta * min(1.0, (step + 1) / 10)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in parameters]), rewards


@pytest.mark.parametrize("pack_groups", [True, False])
def test_lag_zero_is_the_synchronous_loop_bit_for_bit(
    policy_cache: Path, monkeypatch: pytest.MonkeyPatch, pack_groups: bool
) -> None:
    config = tiny_run(k=1, horizon=25, prompts_per_batch=4, eta=1e-3, pack_groups=pack_groups)
    final: list[Tensor] = []
    original = Learner.step

    def remember(self: Learner, batch: learner_module.RolloutBatch) -> learner_module.StepMetrics:
        metrics = original(self, batch)
        final[:] = [self.parameters.snapshot()]
        return metrics

    monkeypatch.setattr(Learner, "step", remember)
    syncs = of_type(records_of(config, policy_cache), SyncRecord)
    monkeypatch.undo()
    weights, rewards = synchronous_grpo(config, policy_cache)
    assert len(set(rewards)) > 3, "the example must have something to learn from"
    assert [sync.reward for sync in syncs] == rewards
    assert torch.equal(final[0], weights)


def test_a_minibatch_in_pieces_gives_the_same_gradient(policy_cache: Path) -> None:
    whole, pieces = tiny_run(), tiny_run(prompts_per_forward=3)
    gradients = []
    for config in (whole, pieces):
        policy = load_policy(config, policy_cache, CPU)
        learner = Learner(policy, config)
        batch = first_batch(config, policy_cache)[1]
        learner._backward(batch)
        gradients.append(learner.parameters.grad_N.clone())
    assert gradients[0].norm() > 0.01
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_the_policy_learns(policy_cache: Path) -> None:
    """Real GRPO raises the reward of the fully warmed-up policy at a calm setting."""
    config = tiny_run(k=2, eta=5e-4, horizon=96)
    evals = of_type(records_of(config, policy_cache), EvalRecord)
    assert evals[-1].val_reward > evals[0].val_reward + 0.05


def test_same_seed_same_bits_also_across_processes(policy_cache: Path, tmp_path: Path) -> None:
    config = tiny_run(k=3, horizon=9)
    here = measured(records_of(config, policy_cache))
    assert here == measured(records_of(config, policy_cache))
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    output = subprocess.run(
        [sys.executable, "-m", "grpo_worker", str(file), "--cache-dir", str(policy_cache)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    there = [from_json(line) for line in output.splitlines()]
    assert isinstance(there[0], StartRecord)
    assert isinstance(there[-1], FinishRecord)
    assert measured(there) == here
    other = tiny_run(k=3, horizon=9, seed=1, tiny={"warmup_steps": 2})
    assert here != measured(records_of(other, policy_cache))


@pytest.mark.parametrize("period", [{"checkpoint_every_steps": 4}, {"checkpoint_every_s": 1e-6}], ids=["steps", "s"])
def test_a_periodic_checkpoint_is_resumed_from_after_a_kill(
    policy_cache: Path, tmp_path: Path, period: dict[str, float]
) -> None:
    config = tiny_run(k=3, horizon=12, eta=1e-3, **({"checkpoint_every_steps": 0, "checkpoint_every_s": 0} | period))
    asked = 0

    class Killed(BaseException):
        pass

    def die_late() -> bool:
        nonlocal asked
        asked += 1
        if asked == 10:
            raise Killed
        return False

    with pytest.raises(Killed):
        records_of(config, policy_cache, run_dir=tmp_path, should_stop=die_late)
    resumed = records_of(config, policy_cache, run_dir=tmp_path)
    start = resumed[0]
    assert isinstance(start, StartRecord)
    assert (start.resumed_from_step, start.resumed_from_sync) == (
        (8, 1) if "checkpoint_every_steps" in period else (9, 2)
    )
    whole = measured(records_of(config, policy_cache))
    assert measured(resumed) == whole[-len(resumed) + 1 :]


def test_without_a_period_there_is_no_checkpoint(policy_cache: Path, tmp_path: Path) -> None:
    records_of(tiny_run(checkpoint_every_steps=0, checkpoint_every_s=0), policy_cache, run_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_config_is_refused_with_the_difference(policy_cache: Path, tmp_path: Path) -> None:
    records_of(tiny_run(), policy_cache, run_dir=tmp_path, should_stop=lambda: True)
    with pytest.raises(CheckpointError, match=r"eta: 0\.0005 there, 0\.002 here"):
        records_of(tiny_run(eta=2e-3), policy_cache, run_dir=tmp_path)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    content = torch.load(found[0])
    torch.save(content | {"code version": "0.0.1"}, found[0])
    with pytest.raises(CheckpointError, match=r"code version: '0\.0\.1' there, '.*' here"):
        records_of(tiny_run(), policy_cache, run_dir=tmp_path)
    found[0].write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="cannot be read"):
        records_of(tiny_run(), policy_cache, run_dir=tmp_path)


@pytest.mark.parametrize("k", [2, 5, 8, 32])
def test_validation_does_not_depend_on_k(policy_cache: Path, k: int) -> None:
    evals = of_type(records_of(tiny_run(k=k, horizon=20), policy_cache), EvalRecord)
    assert [record.learner_step for record in evals] == [0, 8, 16, 20]
    assert len({evals[0].val_reward}) == 1


def test_a_collapse_is_found_and_can_end_the_run(policy_cache: Path) -> None:
    wild = {"k": 5, "eta": 5e-2, "horizon": 95}
    whole = records_of(tiny_run(**wild), policy_cache)[-1]
    assert isinstance(whole, FinishRecord)
    assert (whole.outcome, whole.learner_steps) == ("collapsed", 95)
    assert whole.collapse_step is not None
    assert whole.collapse_step % 5, "the sync after the collapse step must be another step"
    assert whole.collapse_step_lo == whole.collapse_step - 8
    assert whole.collapse_sync == math.ceil(whole.collapse_step / 5)
    early = records_of(tiny_run(**wild, collapse={"stop_after_evals": 4}), policy_cache)[-1]
    assert isinstance(early, FinishRecord)
    assert early.collapse_step == whole.collapse_step
    fourth = whole.collapse_step + 3 * 8  # the run ends with the cycle in which it is
    assert math.ceil(fourth / 5) * 5 == early.learner_steps < 95


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(
    policy_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Learner.step

    def poisoned(self: Learner, batch: learner_module.RolloutBatch) -> learner_module.StepMetrics:
        if self.steps == 5:
            self.parameters.theta_N.data[7] = math.nan
        return original(self, batch)

    monkeypatch.setattr(Learner, "step", poisoned)
    finish = records_of(tiny_run(), policy_cache)[-1]
    assert isinstance(finish, FinishRecord)
    assert (finish.outcome, finish.learner_steps) == ("diverged", 5)
    assert finish.detail == "the loss is not finite at learner step 5"
    with pytest.raises(Diverged):
        raise Diverged("the loss", 5)


def test_every_field_of_a_sync_is_filled(policy_cache: Path) -> None:
    first, second = of_type(records_of(tiny_run(k=4), policy_cache), SyncRecord)
    assert [name for name, value in dataclasses.asdict(first).items() if value is None] == [
        "val_reward", "cosine_update_across", "cosine_gradient_across",
    ]  # fmt: skip
    assert None not in dataclasses.asdict(second).values()
    assert second.engine_gap < 1e-5
    assert second.drift_from_start <= second.path_length + 1e-6
    assert 0 < second.ess_sequence <= second.ess_token <= 1
