"""Time TRL's GRPOTrainer on our work: same policy, prompts, batch, optimizer and one thread; prints a JSON line.

Runs in TRL's own environment, which `setup` makes:

    .venv-trl/bin/python tests/benchmarks/trl/step.py --policy DIR --prompts FILE.jsonl --k 8 --steps 64 \\
        [--batch-prompts 16 --group 8 --completion-tokens 4 --skipped-steps 8 --chat]

The JSON is the last line of stdout. A learner step's time includes its share of the rollout batch, as TRL spends
it: generation and scoring once in k steps. The first steps, which warm caches, are left out.

The settings are the fastest found by measurement at k = 8 that train the same thing (TRL 1.16.0, two CPU cores;
milliseconds per learner step): as below 24-25; with gradient checkpointing, TRL's default, 33-37; with bfloat16,
also its default, 41; with both 53. No difference beyond noise: eager attention instead of sdpa, a static
generation cache, the unfused AdamW, data in file order. torch.compile: 0.9 to 1.4 times the step's time, after
15 s of compiling. Wall times suffer from a shared machine; the CPU times less.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


class StepClock(TrainerCallback):
    """Notes the wall and the CPU time at the start of training and at the end of each optimizer step, in seconds."""

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.wall_s.append(time.perf_counter())
        self.cpu_s.append(time.process_time())

    on_step_end = on_train_begin


def exact_match(completions: list[Any], answer: list[str], **_: object) -> list[float]:
    """Reward a completion that equals the answer."""
    texts = [text if isinstance(text, str) else text[0]["content"] for text in completions]
    return [float(text.strip() == str(right)) for text, right in zip(texts, answer, strict=True)]


def grpo_config(arguments: argparse.Namespace, scratch: str, steps: int) -> GRPOConfig:
    """Our recipe in TRL's settings, with everything but training switched off."""
    return GRPOConfig(
        output_dir=scratch, report_to="none", logging_strategy="no", save_strategy="no", disable_tqdm=True,
        use_cpu=True, bf16=False, gradient_checkpointing=False, dataloader_pin_memory=False,
        max_steps=steps, num_iterations=arguments.k,
        per_device_train_batch_size=arguments.batch_prompts * arguments.group,
        gradient_accumulation_steps=1, num_generations=arguments.group,
        max_completion_length=arguments.completion_tokens, temperature=1.0,
        top_k=0, top_p=1.0, beta=0.0, epsilon=1.0, loss_type="grpo", scale_rewards="group",
        learning_rate=arguments.lr, lr_scheduler_type="constant_with_warmup", warmup_steps=10,
        optim="adamw_torch_fused", weight_decay=0.0, max_grad_norm=1.0, seed=0,
    )  # fmt: skip


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Train for whole rollout cycles; return the medians over the cycles and over the rollout batches."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows = [json.loads(line) for line in arguments.prompts.read_text(encoding="utf-8").splitlines()]
    if arguments.chat:
        rows = [{**row, "prompt": [{"role": "user", "content": row["prompt"]}]} for row in rows]
    model = AutoModelForCausalLM.from_pretrained(arguments.policy, dtype=torch.float32)
    generate, generate_s = model.generate, []

    def timed_generate(*inputs: object, **options: object) -> torch.Tensor:
        start = time.perf_counter()
        tokens = generate(*inputs, **options)
        generate_s.append(time.perf_counter() - start)
        return tokens

    model.generate = timed_generate
    k, clock = arguments.k, StepClock()
    skipped = math.ceil(arguments.skipped_steps / k)
    cycles = math.ceil(arguments.steps / k)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=exact_match,
            args=grpo_config(arguments, scratch, (skipped + cycles) * k),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(arguments.tokenizer or arguments.policy),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    assert len(clock.wall_s) - 1 == len(generate_s) * k == (skipped + cycles) * k

    def step_ms(times_s: list[float]) -> float:
        cycle_s = [end - start for start, end in itertools.pairwise(times_s[::k])]
        return 1e3 * statistics.median(cycle_s[skipped:]) / k

    return {
        "peer": "trl", "version": trl.__version__, "transformers": transformers.__version__, "k": k,
        "steps": cycles * k, "learner_step_ms": step_ms(clock.wall_s), "learner_step_cpu_ms": step_ms(clock.cpu_s),
        "generate_ms": 1e3 * statistics.median(generate_s[skipped:]),
    }  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="folder of save_pretrained")
    parser.add_argument("--tokenizer", type=Path, help="the tokenizer's folder, if it is another")
    parser.add_argument("--prompts", type=Path, required=True, help="JSON lines of {prompt, answer}")
    parser.add_argument("--k", type=int, required=True, help="learner steps per rollout batch")
    parser.add_argument("--steps", type=int, default=64, help="learner steps to time, rounded up to cycles")
    parser.add_argument("--skipped-steps", type=int, default=8, help="steps that come before, rounded up to cycles")
    parser.add_argument("--batch-prompts", type=int, default=16, help="prompts a step")
    parser.add_argument("--group", type=int, default=8, help="completions a prompt")
    parser.add_argument("--completion-tokens", type=int, default=4, help="longest completion")
    parser.add_argument("--chat", action="store_true", help="ask through the chat template")
    parser.add_argument("--lr", type=float, default=2.5e-4)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
