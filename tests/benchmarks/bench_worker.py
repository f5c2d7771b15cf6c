"""The cost of a learner step, beside TRL's GRPOTrainer on the same work, in one run; prints tables, asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_worker [--rounds 3] [--steps 64] [--k 2 8 32]

Both sides train the quickstart's recipe on one CPU thread, from the same warmed-up policy, on the same prompts.
They take turns, so that noise hits both. A step's time includes its share of the rollout batch. Ours is taken
from the real loop, from one record of a weight sync to the next; only validation is left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from grpo_worker import loop
from grpo_worker.model import packing
from grpo_worker.model.policy import load_policy
from grpo_worker.model.tiny import ensure_tiny_policy
from grpo_worker.rollout.pipelines import Pipeline
from grpo_worker.rollout.sampler.engines import load_sampler
from grpo_worker.rollout.sampler.pool import InlinePool
from grpo_worker.schema.config import ModelConfig, WorkerConfig
from grpo_worker.schema.records import Record, SyncRecord
from grpo_worker.system.randomness import generator
from grpo_worker.tasks import load_task
from grpo_worker.train.learner import Learner

HERE = Path(__file__).parent
TRL_PYTHON = Path(".venv-trl/bin/python")
WARMUP_STEPS = 8
CYCLES_FOR_PARTS = 40


def quickstart(k: int, steps: int) -> WorkerConfig:
    """The quickstart's recipe, validated only before the first step and after the last."""
    return WorkerConfig(model=ModelConfig(), k=k, eta=2.5e-4, seed=0, horizon=steps, eval_every_steps=steps)


def our_step_ms(config: WorkerConfig, skipped: int, cache: Path) -> dict[str, float]:
    """Median over rollout cycles of the real loop but the first and the last one, per learner step."""
    wall_s, cpu_s = [], []

    def note(record: Record) -> None:
        if isinstance(record, SyncRecord):
            wall_s.append(time.perf_counter())
            cpu_s.append(time.process_time())

    loop.run(config, note, cache_dir=cache)

    def per_step_ms(times_s: list[float]) -> float:
        ends = times_s[skipped - 1 : -1]  # the last cycle holds the final validation
        return 1e3 * statistics.median(b - a for a, b in itertools.pairwise(ends)) / config.k

    return {"wall": per_step_ms(wall_s), "cpu": per_step_ms(cpu_s)}


def trl_step_ms(k: int, steps: int, policy: Path, prompts: Path, *more: object) -> dict[str, float]:
    """The same of TRL, in its own environment."""
    command = [TRL_PYTHON, HERE / "trl/step.py", "--policy", policy, "--prompts", prompts, "--k", k, "--steps", steps]
    output = subprocess.run([*map(str, [*command, *more])], check=True, capture_output=True, text=True).stdout
    measured = json.loads(output.splitlines()[-1])
    return {
        "wall": measured["learner_step_ms"], "cpu": measured["learner_step_cpu_ms"], "generate": measured["generate_ms"]
    }  # fmt: skip


def parts_ms(k: int, cache: Path) -> dict[str, float]:
    """Median CPU time of each part of a rollout cycle of the recipe, each called as the loop calls it."""
    config = quickstart(k, 10_000)
    task, cpu = load_task(config.task), torch.device("cpu")
    learner = Learner(load_policy(config, cache, cpu), config)
    reference, sampler = load_policy(config, cache, cpu), load_sampler(config, cache)
    reference.model.requires_grad_(False)
    pipeline = Pipeline(config, task, reference, InlinePool(sampler))
    times_ms: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = function()
        times_ms.setdefault(name, []).append(1e3 * (time.process_time() - started))
        return result

    shape = (config.rollouts_per_step, config.max_completion_tokens)
    for sync in range(CYCLES_FOR_PARTS):
        problems = task.train[sync * 16 : sync * 16 + 16]
        uniform = torch.rand(shape, generator=generator("benchmark", sync))
        timed("weight sync, rollouts", lambda: pipeline.sync(learner.weights(), learner.steps))
        timed("score, reference", partial(pipeline.fetch, learner.steps))
        batch, _ = pipeline.minibatch(learner.steps)
        timed("- weight sync", lambda: sampler.load(learner.weights(), learner.steps))
        prompts = timed("- encode", partial(reference.encode, problems))
        timed("- sample", partial(sampler.sample, prompts, config.group_size, uniform))
        timed("- decode", partial(reference.decode, batch.token_BT, batch.mask_BT))
        packing.pack.cache_clear()
        timed("- pack", partial(packing.pack, batch, config.group_size, torch.float32))
        with torch.inference_mode():
            timed("- reference forward", partial(reference.completion_log_probs, batch, 1.0, config.group_size))
        for _ in range(k):
            batch, _ = timed("minibatch, lags", partial(pipeline.minibatch, learner.steps))
            timed("- forward, loss, backward", partial(learner._backward, batch))
            timed("learner step", partial(learner.step, batch))
    ms = {name: statistics.median(values[5:]) for name, values in times_ms.items()}
    ms["- optimizer, diagnostics"] = ms["learner step"] - ms["- forward, loss, backward"]
    order = ["weight sync, rollouts", "- weight sync", "- encode", "- sample", "score, reference", "- decode", "- pack",
             "- reference forward", "minibatch, lags", "learner step", "- forward, loss, backward",
             "- optimizer, diagnostics"]  # fmt: skip
    return {name: ms[name] for name in order}


def against_floor(config: WorkerConfig, cache: Path, measured_ms: float) -> str:
    """A step's time in multiples of its arithmetic's: of the tokens as sampled, and with equal prefixes once."""
    rate, cpu = matmul_rate(), torch.device("cpu")
    reference, sampler = load_policy(config, cache, cpu), load_sampler(config, cache)
    pipeline = Pipeline(config, load_task(config.task), reference, InlinePool(sampler))
    pipeline.sync(dict(reference.model.named_parameters()), 0)
    pipeline.fetch(0)
    batch, _ = pipeline.minibatch(0)
    ms = []
    for group_size in (1, config.group_size):
        rows = packing.pack(batch, group_size, torch.float32)
        assert rows is not None
        ms.append(1e3 * step_flops(reference.model, rows, config.k) / rate)
    floors = [f"{floor:.2f} ms ({measured_ms / floor:.1f} x) {what}" for floor, what in zip(
        ms, ("as sampled", "with equal prefixes once"), strict=True
    )]  # fmt: skip
    return f"arithmetic of a step at {rate / 1e9:.0f} GFLOP/s: " + ", ".join(floors)


def matmul_rate() -> float:
    """Float32 operations a second of one thread: the best of some products of 2048 x 2048 matrices."""
    a, best = torch.randn(2048, 2048), float("inf")
    for _ in range(10):
        started = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - started)
    return 2 * len(a) ** 3 / best


def step_flops(model: Any, rows: packing.PackedRows, k: int) -> float:
    """Multiplications and additions of a learner step with its share of the rollout batch.

    A forward multiplies each token by each matrix and, in attention, each query by the keys that it sees and their
    values. Backward is twice that; sampling and the reference are a forward each, once in k steps.
    """
    config, real_PL = model.config, rows.real_PL
    matrices = sum(p.numel() for p in model.model.layers.parameters() if p.dim() == 2)
    pairs = int((rows.position_PL + 1)[real_PL].sum())
    predicting = int(real_PL[:, rows.first :].sum())
    forward = (
        2 * matrices * int(real_PL.sum())
        + 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * pairs
        + 2 * model.lm_head.weight.numel() * predicting
    )
    return forward * (3 + 2 / k)


def compare(ks: list[int], rounds: int, steps: int, cache: Path, policy: Path) -> None:
    """Let both sides take turns and print the medians over the rounds."""
    prompts = cache / "prompts.jsonl"
    problems = load_task(quickstart(2, 8).task).train
    prompts.write_text("".join(json.dumps({"prompt": p.prompt, "answer": p.answer}) + "\n" for p in problems))
    row = "{:>4} {:>10} {:>10} {:>10} {:>10} {:>16} {:>16} {:>14}"
    print(row.format("k", "ours wall", "ours CPU", "TRL wall", "TRL CPU", "ratio wall", "ratio CPU", "TRL generate"))
    for k in ks:
        cycles, skipped = -(-steps // k), -(-WARMUP_STEPS // k)
        config = quickstart(k, (skipped + cycles + 1) * k)
        turns = [(our_step_ms(config, skipped, cache), trl_step_ms(k, steps, policy, prompts)) for _ in range(rounds)]
        print(row.format(k, *compared(turns)), flush=True)


def compared(turns: list[tuple[dict[str, float], dict[str, float]]]) -> list[str]:
    """Medians over the turns: ours, TRL's, and the ratio with its range, each in wall and CPU time."""
    ours, trl = ({name: statistics.median(turn[side][name] for turn in turns) for name in turns[0][side]}
                 for side in (0, 1))  # fmt: skip
    ratios = [sorted(b[time] / a[time] for a, b in turns) for time in ("wall", "cpu")]
    times = [ours["wall"], ours["cpu"], trl["wall"], trl["cpu"]]
    return [
        *(f"{ms:.1f}" for ms in times),
        *(f"{statistics.median(r):.1f} ({r[0]:.1f}-{r[-1]:.1f})" for r in ratios),
        f"{trl['generate']:.1f}",
    ]


def main() -> None:
    """Warm up a policy, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes")
    parser.add_argument("--steps", type=int, default=64, help="learner steps to time in a turn, rounded up to cycles")
    parser.add_argument("--k", type=int, nargs="+", default=[2, 8, 32], help="learner steps per rollout batch")
    arguments = parser.parse_args()
    if not TRL_PYTHON.exists():
        parser.exit(2, f"{TRL_PYTHON} is missing: make it with tests/benchmarks/trl/setup\n")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        cache, config = Path(scratch), quickstart(2, 8)
        started = time.process_time()
        policy = ensure_tiny_policy(config.tiny, config.task, config.seed, cache)
        print(f"supervised warm-up of the tiny policy: {time.process_time() - started:.1f} CPU-s\n")
        print("one learner step with its share of the rollout batch, ms; TRL generate: of a rollout batch, wall")
        compare(arguments.k, arguments.rounds, arguments.steps, cache, policy)
        print("\nwhere our time goes, CPU ms, median")
        for name, ms in parts_ms(8, cache).items():
            print(f"  {name:<26}{ms:6.2f}")
        measured = our_step_ms(quickstart(8, 80), 1, cache)["cpu"]
        print(f"\nk = 8, {measured:.2f} CPU ms; " + against_floor(quickstart(8, 8), cache, measured))


if __name__ == "__main__":
    main()
