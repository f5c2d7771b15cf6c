"""The speed of sampling beside the learner: `overlap` against `reuse`, on two cores; prints a table, asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_pipelines [--rounds 5] [--k 2 8 32]

Both sides train the same policy on the same task, taking turns. A step's wall-clock time is that from one record of a
weight sync to the next, without validation; the idle fraction is the share of it in which the learner waited for
the weight sync and for rollouts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from grpo_worker import loop
from grpo_worker.schema.config import ModelConfig, WorkerConfig
from grpo_worker.schema.records import Record, SyncRecord

SKIPPED_CYCLES = 3
SIDES = {
    "reuse, between steps": {"pipeline": "reuse", "sampler": {"process": False}},
    "reuse, own process": {"pipeline": "reuse", "sampler": {"process": True}},
    "overlap, between steps": {"pipeline": "overlap", "sampler": {"process": False}},
    "overlap, own process": {"pipeline": "overlap", "sampler": {"process": True}},
}
POLICIES = {
    "tiny (21,536 parameters)": {},
    "wide (1.9 M parameters)": {"hidden_size": 192, "layers": 4, "mlp_size": 512, "warmup_steps": 20},
}


def measure(side: dict[str, object], tiny: dict[str, int], k: int, cycles: int, cache: Path) -> tuple[float, float]:
    """Median ms of a learner step, and the idle fraction."""
    steps = (cycles + SKIPPED_CYCLES + 1) * k
    config = WorkerConfig.model_validate(
        {"model": ModelConfig(), "k": k, "eta": 2.5e-4, "seed": 0, "horizon": steps, "eval_every_steps": steps}
        | {"tiny": tiny, **side}
    )
    ends: list[float] = []
    syncs: list[SyncRecord] = []

    def note(record: Record) -> None:
        if isinstance(record, SyncRecord):
            ends.append(time.perf_counter())
            syncs.append(record)

    loop.run(config, note, cache_dir=cache)
    wall_s = [b - a for a, b in zip(ends[SKIPPED_CYCLES - 1 : -2], ends[SKIPPED_CYCLES:-1], strict=True)]
    idle_s = sum(sync.idle_s for sync in syncs[SKIPPED_CYCLES:-1])
    return 1e3 * statistics.median(wall_s) / k, idle_s / sum(wall_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns that each side takes")
    parser.add_argument("--cycles", type=int, default=12, help="rollout cycles to time in a turn")
    parser.add_argument("--k", type=int, nargs="+", default=[2, 8, 32], help="learner steps per rollout batch")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    row = "{:<26}{:>4}{:>12}{:>18}{:>8}{:>10}"
    with tempfile.TemporaryDirectory() as scratch:
        for policy, tiny in POLICIES.items():
            print(f"\n{policy}, one thread a process; median of {arguments.rounds} turns (their range)")
            print(row.format("", "k", "ms a step", "range", "idle", "speed-up"))
            for k in arguments.k:
                turns: dict[str, list[tuple[float, float]]] = {name: [] for name in SIDES}
                for _ in range(arguments.rounds):
                    for name, side in SIDES.items():
                        turns[name].append(measure(side, tiny, k, arguments.cycles, Path(scratch)))
                base_ms = statistics.median(ms for ms, _ in turns["reuse, between steps"])
                for name, measured in turns.items():
                    all_ms, idle = zip(*measured, strict=True)
                    ms = statistics.median(all_ms)
                    spread = f"{min(all_ms):.1f}-{max(all_ms):.1f}"
                    idle_text = f"{statistics.median(idle):.0%}"
                    print(row.format(name, k, f"{ms:.1f}", spread, idle_text, f"{base_ms / ms:.2f}"), flush=True)


if __name__ == "__main__":
    main()
