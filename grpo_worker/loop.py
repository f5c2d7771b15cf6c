"""The training loop of one run.

    ┌── weight sync m ──────────────────────────────────────────────────────────────────┐
    │   learner ── version t ──► sampler ──► P·G rollouts, each token with its log-prob │
    │      ▲                                 │                 and its version          │
    │      │ learner step t                  │ verify → reward → advantage              │
    │      └── minibatch at a known lag ◄── pipeline ◄──┘                               │
    │   every `eval_every_steps` learner steps, whatever k: validate → EvalRecord       │
    │   end of the rollout cycle: SyncRecord                                            │
    └── until the horizon, a confirmed collapse (if asked), or a request to stop ───────┘

`run` puts the parts together, `_train` is the loop above.

Equal configs give equal runs, bit for bit, in any process and with or without interruptions. A random number depends
only on what it is drawn for (`grpo_worker.system.randomness`), torch computes on one CPU thread, and a checkpoint holds
the whole state and can be saved after any learner step. The exception is the pipeline ``queue``, whose lags depend on
timing.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import torch
import transformers

from grpo_worker import __version__
from grpo_worker.model.policy import load_policy
from grpo_worker.rollout.pipelines import Pipeline
from grpo_worker.rollout.sampler import MakeSampler
from grpo_worker.rollout.sampler.engines import load_sampler
from grpo_worker.rollout.sampler.hf import generate
from grpo_worker.rollout.sampler.pool import InlinePool, ProcessPool, SamplerPool
from grpo_worker.schema import collapse
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import Diverged
from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, StartRecord
from grpo_worker.system.devices import learner_device, prepare
from grpo_worker.system.randomness import generator
from grpo_worker.tasks import Task, load_task
from grpo_worker.train.checkpoint import History, LoopState, latest_checkpoint, load_checkpoint, save_checkpoint
from grpo_worker.train.cycle import Cycle, Stopwatch
from grpo_worker.train.learner import Learner

__all__ = ["latest_checkpoint", "run"]


def run(
    config: WorkerConfig,
    emit: Callable[[Record], None],
    *,
    cache_dir: Path,
    run_dir: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    make_sampler: MakeSampler = load_sampler,
) -> FinishRecord:
    """Train one run to its end, or until it is asked to stop.

    Args:
        config: What to train.
        emit: Called with each record at once, the `FinishRecord` included.
        cache_dir: Where warmed-up builtin policies are kept.
        run_dir: Where checkpoints are saved. If there is one already, the run resumes from it. None = no checkpoints.
        should_stop: Called after every learner step; when it returns True, the run saves a checkpoint and ends
            ``interrupted``.
        make_sampler: Builds the rollout engine, in this process or in a separate one.

    Returns:
        The `FinishRecord`.

    Raises:
        WorkerError: The model, task or checkpoint cannot be used, a lag is not what the pipeline allows, or the
            rollout engine failed.
    """
    started = time.perf_counter()
    prepare(config)
    task = load_task(config.task)
    with contextlib.ExitStack() as stack:
        learner = stack.enter_context(_learner(config, cache_dir))
        samplers = stack.enter_context(contextlib.closing(_samplers(config, cache_dir, make_sampler, learner)))
        reference = load_policy(config, cache_dir, learner_device(config))
        reference.model.requires_grad_(False)
        pipeline = Pipeline(config, task, reference, samplers)
        state = _resume(run_dir, learner, pipeline)
        emit(_start_record(learner, resumed=state is not None, setup_s=time.perf_counter() - started))
        evaluate = _evaluator(config, task, learner)
        try:
            finish = _train(config, learner, pipeline, evaluate, state, emit, run_dir, should_stop)
        except Diverged as error:
            finish = FinishRecord("diverged", learner.steps, config.collapse.detector, detail=str(error))
    emit(finish)
    return finish


def _train(
    config: WorkerConfig,
    learner: Learner,
    pipeline: Pipeline,
    evaluate: Callable[[], EvalRecord],
    state: LoopState | None,
    emit: Callable[[Record], None],
    run_dir: Path | None,
    should_stop: Callable[[], bool],
) -> FinishRecord:
    """Train from the given state, or from the start, until the run ends; see the picture above."""
    history = state.history if state else History()
    cycle = Cycle.restored(state.cycle) if state and state.cycle else None
    saved_at_step, saved_at_s = learner.steps, time.monotonic()

    def validate() -> float:
        record = evaluate()
        history.eval_steps.append(record.learner_step)
        history.val_rewards.append(record.val_reward)
        emit(record)
        return record.val_reward

    if learner.steps == 0:
        validate()
    while True:
        # A weight sync begins the next rollout cycle.
        if cycle is None:
            cycle = Cycle(learner.steps // config.steps_per_sync, learner.steps)
            learner.begin_cycle()
            with Stopwatch(cycle, "idle_s"):
                cycle.sync_s = pipeline.sync(learner.weights(), learner.steps)
        # A learner step, on the batch that the pipeline gives it.
        with Stopwatch(cycle, "idle_s"):
            fetched = pipeline.fetch(learner.steps)
        with Stopwatch(cycle, "learner_s"):
            minibatch, lag_N = pipeline.minibatch(learner.steps)
            if fetched:
                cycle.take(fetched, config.group_size, learner.policy.eos_ids)
            if fetched and config.pipeline == "overlap":
                cycle.engine_gap = learner.engine_gap(minibatch)
            cycle.add(learner.step(minibatch), lag_N)

        # Records: a validation every so many learner steps, and a sync record at the end of the cycle.
        step, ended = learner.steps, False
        if step % config.eval_every_steps == 0 or step == config.horizon:
            cycle.val_reward = validate()
        if step % config.steps_per_sync == 0 or step == config.horizon:
            record = cycle.record(learner)
            emit(record)
            history.sync_steps.append(record.learner_step)
            history.rewards.append(record.reward)
            cycle = None
            ended = step == config.horizon or _collapse_is_confirmed(config, history)
        if ended:
            return _finish_record(config, step, history)

        # A checkpoint, if one is due or the run is asked to stop.
        stop = should_stop()
        if run_dir and (stop or _checkpoint_is_due(config, step - saved_at_step, time.monotonic() - saved_at_s)):
            cycle_state = cycle.state() if cycle else None
            save_checkpoint(run_dir, learner, LoopState(history, cycle_state, pipeline.state()))
            saved_at_step, saved_at_s = step, time.monotonic()
        if stop:
            return FinishRecord("interrupted", step, config.collapse.detector)


@contextlib.contextmanager
def _learner(config: WorkerConfig, cache_dir: Path) -> Iterator[Learner]:
    if config.learner_ranks == 1:
        yield Learner(load_policy(config, cache_dir, learner_device(config)), config)
        return
    from grpo_worker.train.sharded import sharded_learner

    with sharded_learner(config, cache_dir) as learner:
        yield learner


def _samplers(config: WorkerConfig, cache_dir: Path, make_sampler: MakeSampler, learner: Learner) -> SamplerPool:
    if config.samples_in_own_process:
        return ProcessPool(make_sampler, config, cache_dir, learner.weights(), learner.start_N.device)
    return InlinePool(make_sampler(config, cache_dir))


def _resume(run_dir: Path | None, learner: Learner, pipeline: Pipeline) -> LoopState | None:
    """Restore the newest checkpoint, if there is one, and return what the loop needs of it."""
    found = latest_checkpoint(run_dir) if run_dir else None
    if found is None:
        return None
    state = load_checkpoint(found[0], learner)
    pipeline.restore(state.pipeline, learner.weights(), learner.steps)
    return state


def _checkpoint_is_due(config: WorkerConfig, steps: int, seconds: float) -> bool:
    """Whether to save a checkpoint, so many learner steps and seconds after the last one."""
    by_steps = 0 < config.checkpoint_every_steps <= steps
    return by_steps or 0 < config.checkpoint_every_s <= seconds


def _evaluator(config: WorkerConfig, task: Task, learner: Learner) -> Callable[[], EvalRecord]:
    """Return a function that validates the learner's policy on one sampled completion of each held-out prompt.

    Every validation uses the same uniform random numbers, so that its result differs only where the policy does.
    """
    prompts = learner.policy.encode(task.val)
    uniform_BT = torch.rand(
        len(task.val), config.max_completion_tokens, generator=generator(config.seed, "validation")
    ).to(prompts.token_PS.device)  # fmt: skip

    def evaluate() -> EvalRecord:
        policy = learner.sampling_policy()
        completions = generate(policy, prompts, 1, uniform_BT, config.temperature, version=0)
        texts = policy.decode(completions.token_BT, completions.mask_BT)
        rewards = [task.verify(text, problem.answer) for text, problem in zip(texts, task.val, strict=True)]
        return EvalRecord(learner.steps, sum(rewards) / len(rewards), len(rewards))

    return evaluate


def _finish_record(config: WorkerConfig, learner_steps: int, history: History) -> FinishRecord:
    """The record of a run that has ended, with the verdict of its own detector."""
    verdict = _detect(config, history)
    finish = FinishRecord(verdict.state, learner_steps, config.collapse.detector)
    if verdict.collapse is None:
        return finish
    low, high = verdict.collapse.lo, verdict.collapse.hi
    return FinishRecord(
        verdict.state, learner_steps, config.collapse.detector,
        collapse_step=high, collapse_step_lo=low, collapse_sync=-(-high // config.steps_per_sync),
    )  # fmt: skip


def _detect(config: WorkerConfig, history: History) -> collapse.Verdict:
    if config.collapse.detector == "half":
        return collapse.detect(history.eval_steps, history.val_rewards, config.collapse)
    return collapse.detect(history.sync_steps, history.rewards, config.collapse)


def _collapse_is_confirmed(config: WorkerConfig, history: History) -> bool:
    """Whether the run may end early: as many observations in a row show its collapse as its config asks for."""
    wanted = config.collapse.stop_after_evals
    found = _detect(config, history).collapse if wanted else None
    return found is not None and found.observations >= wanted


def _start_record(learner: Learner, *, resumed: bool, setup_s: float) -> StartRecord:
    versions = {
        "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
        "stalesweep": __version__,
    }  # fmt: skip
    if learner.config.sampler.engine == "vllm":
        # Read from the installed package, because this process need not import vLLM; each of its builds is a package
        # with a name of its own.
        versions["vllm"] = metadata.version(metadata.packages_distributions()["vllm"][0])
    return StartRecord(
        resumed_from_sync=learner.config.last_whole_sync(learner.steps) if resumed else None,
        resumed_from_step=learner.steps if resumed else None,
        parameters=len(learner.parameters), device=str(learner.start_N.device), versions=versions,
        threads=torch.get_num_threads(), setup_s=setup_s,
    )  # fmt: skip
