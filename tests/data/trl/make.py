"""Make the logs in this folder: train a policy with TRL's GRPOTrainer for a few steps and keep `trainer_state.json`.

Runs in TRL's own environment, which tests/benchmarks/trl/setup makes:

    .venv-trl/bin/python tests/data/trl/make.py --policy DIR --prompts FILE.jsonl --out DIR --k 4 --lr 2e-3 \\
        [--steps 48 --logging-steps 1 --group 4]

DIR is a folder of save_pretrained (the tiny policy lies in the worker's cache); a prompt is one {prompt, answer} a
line. Only the newest checkpoint's `trainer_state.json` is kept, exactly as TRL wrote it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer


def exact_match(completions: list[Any], answer: list[str], **_: object) -> list[float]:
    """Reward a completion that equals the answer."""
    return [float(text.strip() == right) for text, right in zip(completions, answer, strict=True)]


def train(arguments: argparse.Namespace, scratch: str) -> None:
    """Train with a validation before the first step and after every eighth."""
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in arguments.prompts.read_text(encoding="utf-8").splitlines()]
    config = GRPOConfig(
        output_dir=scratch, report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
        dataloader_pin_memory=False, max_steps=arguments.steps, num_iterations=arguments.k,
        logging_steps=arguments.logging_steps, save_steps=arguments.steps, save_only_model=True,
        eval_strategy="steps", eval_steps=8, eval_on_start=True, per_device_eval_batch_size=16,
        num_generations_eval=1, per_device_train_batch_size=16 * arguments.group, gradient_accumulation_steps=1,
        num_generations=arguments.group, max_completion_length=4, temperature=1.0, top_k=0, top_p=1.0,
        beta=0.01, epsilon=1.0, learning_rate=arguments.lr, lr_scheduler_type="constant_with_warmup", warmup_steps=10,
        weight_decay=0.0, seed=arguments.seed,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(arguments.policy, dtype=torch.float32),
        reward_funcs=exact_match,
        args=config,
        train_dataset=Dataset.from_list(rows[64:]),
        eval_dataset=Dataset.from_list(rows[:64]),
        processing_class=AutoTokenizer.from_pretrained(arguments.policy),
    )
    trainer.train()


def main() -> None:
    """Parse, train, keep the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--logging-steps", type=int, default=1)
    parser.add_argument("--group", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        train(arguments, scratch)
        checkpoint = f"checkpoint-{arguments.steps}"
        (arguments.out / checkpoint).mkdir(parents=True, exist_ok=True)
        shutil.copy(f"{scratch}/{checkpoint}/trainer_state.json", arguments.out / checkpoint)


if __name__ == "__main__":
    main()
