"""SmolLM2-135M beside TRL's GRPOTrainer, against its arithmetic, and in memory; prints, asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_smollm2 [--rounds 2] [--k 2] [--folder FOLDER]

32 completions of 32 tokens, 8 of each of 4 prompts, in float32 on one CPU thread. The model's end-of-sequence token is
set to one that it does not use, so that both sides sample 32 tokens every time. The folder is made by
``sweeps/prepare_smollm2.py``. Ours runs in a process of its own, whose peak memory is compared with what it must hold.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from grpo_worker.schema.config import WorkerConfig
from orchestrator.base.settings import cache_dir
from tests.benchmarks.bench_worker import against_floor, compared, our_step_ms, trl_step_ms

PROMPTS, GROUP, TOKENS = 4, 8, 32
PROMPT_TOKENS = 44
UNUSED = "<|endoftext|>", 0


def endless(folder: Path, scratch: Path) -> Path:
    """A folder with the model, whose end-of-sequence token never ends a completion; its weights are linked."""
    for source in folder.iterdir():
        (scratch / source.name).symlink_to(source)
    for name, field, value in (
        ("config.json", "eos_token_id", UNUSED[1]),
        ("generation_config.json", "eos_token_id", UNUSED[1]),
        ("tokenizer_config.json", "eos_token", UNUSED[0]),
    ):
        content = json.loads((folder / name).read_text(encoding="utf-8")) | {field: value}
        (scratch / name).unlink()
        (scratch / name).write_text(json.dumps(content), encoding="utf-8")
    return scratch


def config_of(folder: Path, k: int, cycles: int) -> WorkerConfig:
    """Usual settings but β = 0, on which TRL spends no reference forward either."""
    return WorkerConfig.model_validate(
        {
            "model": {"name": "smollm2", "path": str(folder)}, "k": k, "eta": 1e-6, "seed": 0, "horizon": k * cycles,
            "prompts_per_batch": PROMPTS, "group_size": GROUP, "max_completion_tokens": TOKENS, "clip_eps": 0.2,
            "task": {"name": "jsonl", "path": str(folder / "sums.jsonl"), "verifier": "number", "val_prompts": 4},
            "eval_every_steps": k * cycles,
        }
    )  # fmt: skip


def measure_ours(folder: Path, k: int, cycles: int) -> None:
    """Time whole cycles and print a JSON line with the peak memory; run in a separate process."""
    torch.set_num_threads(1)
    step = our_step_ms(config_of(folder, k, cycles), 1, folder)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(step | {"peak_gb": peak_gb}))


def run_ours(folder: Path, k: int, cycles: int) -> dict[str, float]:
    """`measure_ours`, from another process."""
    program = f"from tests.benchmarks.bench_smollm2 import *; measure_ours(Path({str(folder)!r}), {k}, {cycles})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def memory_by_hand(folder: Path) -> dict[str, float]:
    """Memory that a learner step needs, in GiB, if no two completions share a prefix."""
    c = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    width, layers, mlp, size = c["hidden_size"], c["num_hidden_layers"], c["intermediate_size"], c["head_dim"]
    heads, key_heads = c["num_attention_heads"], c["num_key_value_heads"]
    row = PROMPT_TOKENS + GROUP * (TOKENS - 1)
    matrices = layers * (2 * width * size * (heads + key_heads) + 3 * width * mlp) + c["vocab_size"] * width
    kept = 2 * width + 2 * heads * size + 2 * key_heads * size + heads * row + 2 * mlp
    gb = 4 / 2**30
    vector = matrices * gb
    return {
        "weights: learner, reference, sampler": 3 * vector,
        "gradient, Adam's two moments": 3 * vector,
        "diagnostics: start, cycle start, previous gradient and update, before": 5 * vector,
        "activations kept for backward": PROMPTS * row * layers * kept * gb,
        "logits": PROMPTS * (row - PROMPT_TOKENS + 1) * c["vocab_size"] * gb,
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="turns that each side takes")
    parser.add_argument("--k", type=int, default=2, help="learner steps per rollout batch")
    parser.add_argument("--cycles", type=int, default=3, help="rollout cycles of a turn; the first is not timed")
    parser.add_argument("--folder", type=Path, default=cache_dir() / "SmolLM2-135M-Instruct")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.exit(0, f"left out: there is no folder {arguments.folder}: make it with sweeps/prepare_smollm2.py\n")
    torch.set_num_threads(1)
    k, cycles = arguments.k, arguments.cycles
    with tempfile.TemporaryDirectory() as name:
        folder = endless(arguments.folder.absolute(), Path(name))
        turns = []
        for _ in range(arguments.rounds):
            ours = run_ours(folder, k, cycles + 1)  # the last cycle holds the final validation, which TRL does not do
            more = ["--batch-prompts", PROMPTS, "--group", GROUP, "--completion-tokens", TOKENS, "--skipped-steps", 1,
                    "--chat"]  # fmt: skip
            turns.append((ours, trl_step_ms(k, k * (cycles - 1), folder, folder / "sums.jsonl", *more)))
        row = "{:>10} {:>10} {:>10} {:>10} {:>16} {:>16} {:>14}"
        print(f"a learner step with its share of the rollout batch, ms, k = {k}")
        print(row.format("ours wall", "ours CPU", "TRL wall", "TRL CPU", "ratio wall", "ratio CPU", "TRL generate"))
        print(row.format(*compared(turns)))
        measured = statistics.median(ours["cpu"] for ours, _ in turns)
        print(against_floor(config_of(folder, k, 1), folder, measured))
        peak = max(ours["peak_gb"] for ours, _ in turns)
        print(f"peak memory of our process: {peak:.2f} GiB; by hand:")
        for name, gb in memory_by_hand(folder).items():
            print(f"  {name:<56}{gb:6.2f}")


if __name__ == "__main__":
    main()
