"""What the worker costs on a GPU: steps, rollouts, memory, sampling beside the learner, where the time goes.

    .venv/bin/python -m tests.benchmarks.bench_gpu [--only NAME …] [--cycles 6] [--profile]

Nothing is downloaded: all models but the tiny policy have the shape of a known one and random weights, which end no
completion early. Their rewards are coin tosses, so that gradients are not zero. Prints tables, asserts nothing.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from grpo_worker import loop
from grpo_worker.model.policy import load_policy
from grpo_worker.rollout.pipelines import Pipeline
from grpo_worker.rollout.sampler.engines import load_sampler
from grpo_worker.rollout.sampler.pool import InlinePool
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.records import Record, SyncRecord
from grpo_worker.system.devices import finish, learner_device, prepare
from grpo_worker.tasks import load_task
from grpo_worker.train.learner import Learner

PROMPT_TOKENS, PROMPTS = 44, 64
PROFILED_CYCLES = 5
SHAPES: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152,
    },
    "Llama-3.2-1B": {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256,
    },
}  # fmt: skip
SMALL = {"prompts_per_batch": 4, "group_size": 8, "max_completion_tokens": 32, "k": 2}
LARGE = {"prompts_per_batch": 16, "group_size": 8, "max_completion_tokens": 128, "k": 2}
PAPER = {"prompts_per_batch": 16, "group_size": 8, "max_completion_tokens": 512, "k": 2, "prompts_per_forward": 1}
WORKLOADS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "tiny": ("tiny", "float32", {"k": 8}),
    "tiny-bf16": ("tiny", "bfloat16", {"k": 8}),
    "135m-small": ("SmolLM2-135M", "float32", SMALL),
    "135m-small-bf16": ("SmolLM2-135M", "bfloat16", SMALL),
    "135m-large": ("SmolLM2-135M", "float32", LARGE),
    "135m-large-bf16": ("SmolLM2-135M", "bfloat16", LARGE),
    "1b-paper": ("Llama-3.2-1B", "float32", PAPER),
    "1b-paper-bf16": ("Llama-3.2-1B", "bfloat16", PAPER),
}
SIDES: dict[str, dict[str, Any]] = {
    "reuse, between steps": {"pipeline": "reuse", "sampler": {"process": False}},
    "reuse, own process": {"pipeline": "reuse", "sampler": {"process": True}},
    "overlap, own process": {"pipeline": "overlap", "sampler": {"process": True}},
}


class Measured(NamedTuple):
    """Medians over rollout cycles."""

    step_ms: float
    learner_ms: float
    rollout_s: float
    rollout_tokens_s: float
    idle: float
    peak_gb: float
    setup_s: float
    engine_gap: float


def coin(completion: str, answer: str) -> float:
    """A reward that looks at the completion but cannot be learned."""
    return float(zlib.crc32(completion.encode()) % 2)


def make_model(shape: str, folder: Path, device: str) -> Path:
    """A folder with a random model, a tokenizer with one token a word, and a task of random words."""
    if (folder / "task.jsonl").exists():
        return folder
    size = SHAPES[shape]["vocab_size"]
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    with torch.device(device):
        config = LlamaConfig(
            **SHAPES[shape], tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0,
            max_position_embeddings=8192, rms_norm_eps=1e-5,
        )  # fmt: skip
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0", pad_token="w0").save_pretrained(folder)
    words = torch.randint(1, size, (PROMPTS, PROMPT_TOKENS), generator=torch.Generator().manual_seed(0)).tolist()
    prompts = [{"prompt": " ".join(f"w{word}" for word in row), "answer": 0} for row in words]
    (folder / "task.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return folder


def config_of(workload: str, cycles: int, scratch: Path, device: str, **fields: Any) -> WorkerConfig:
    """A run that is not over after so many cycles, validated only before its first step and after its last."""
    shape, dtype, recipe = WORKLOADS[workload]
    content: dict[str, Any] = {"model": {"dtype": dtype}, "eta": 1e-6, "seed": 0, "device": device} | recipe | fields
    if shape != "tiny":
        folder = make_model(shape, scratch / shape, device)
        content["model"] |= {"name": shape, "path": str(folder)}
        content["clip_eps"] = 0.2
        content["task"] = {"name": "jsonl", "path": str(folder / "task.jsonl"), "val_prompts": 4,
                           "verifier": "tests.benchmarks.bench_gpu:coin"}  # fmt: skip
    steps = content["k"] * (cycles + 1)
    return WorkerConfig.model_validate(content | {"horizon": steps, "eval_every_steps": steps})


def measure(config: WorkerConfig, cycles: int, cache: Path) -> Measured:
    """Run the real loop for some cycles, of which the first is left out."""
    ends, syncs, started = [], [], time.perf_counter()
    is_gpu = learner_device(config).type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()

    def note(record: Record) -> None:
        if isinstance(record, SyncRecord):
            ends.append(time.perf_counter())
            syncs.append(record)

    loop.run(config, note, cache_dir=cache, should_stop=lambda: len(syncs) == cycles)
    walls_s, kept = [b - a for a, b in itertools.pairwise(ends)], syncs[1:]
    measured = Measured(
        step_ms=1e3 * statistics.median(walls_s) / config.k,
        learner_ms=1e3 * statistics.median(sync.learner_s for sync in kept) / config.k,
        rollout_s=statistics.median(sync.rollout_s for sync in kept),
        rollout_tokens_s=statistics.median(sync.rollout_tokens / sync.rollout_s for sync in kept),
        idle=sum(sync.idle_s for sync in kept) / sum(walls_s),
        peak_gb=torch.cuda.max_memory_allocated() / 2**30 if is_gpu else 0.0,
        setup_s=ends[0] - started,
        engine_gap=max(sync.engine_gap or 0.0 for sync in syncs),
    )
    gc.collect()
    if is_gpu:
        torch.cuda.empty_cache()
    return measured


def profiled(config: WorkerConfig, cache: Path) -> None:
    """Of a rollout batch and a learner step: wall time, what the GPU was busy for, how many kernels, which ones."""
    prepare(config)
    task, device = load_task(config.task), learner_device(config)
    learner = Learner(load_policy(config, cache, device), config)
    reference = load_policy(config, cache, device)
    reference.model.requires_grad_(False)
    pipeline = Pipeline(config, task, reference, InlinePool(load_sampler(config, cache)))

    def cycle(timed: Callable[[str, Callable[[], Any]], None]) -> None:
        timed("rollout batch", lambda: pipeline.sync(learner.weights(), learner.steps))
        timed("score, reference", lambda: pipeline.fetch(learner.steps))
        for _ in range(config.k):
            batch, _ = pipeline.minibatch(learner.steps)
            timed("learner step", partial(learner.step, batch))

    walls_ms: dict[str, list[float]] = {}

    def clocked(name: str, function: Callable[[], Any]) -> None:
        started = time.perf_counter()
        function()
        finish(device)
        walls_ms.setdefault(name, []).append(1e3 * (time.perf_counter() - started))

    def watched(name: str, function: Callable[[], Any]) -> None:
        if name in seen:
            return clocked(name, function)
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as seen[name]:
            function()
            finish(device)
        return None

    seen: dict[str, Any] = {}
    for _ in range(PROFILED_CYCLES - 1):
        cycle(clocked)
    wall_ms = {name: statistics.median(times[1:]) for name, times in walls_ms.items()}
    cycle(watched)
    for name, observed in seen.items():
        print_kernels(name, wall_ms[name], observed.key_averages())


def print_kernels(name: str, wall_ms: float, events: Sequence[Any]) -> None:
    """What a profile says of the GPU."""
    kernels = [event for event in events if event.device_type.name == "CUDA"]
    busy_ms = sum(event.self_device_time_total for event in kernels) / 1e3
    waits = sum(event.count for event in events if event.key in ("cudaStreamSynchronize", "cudaDeviceSynchronize"))
    calls = sum(event.count for event in kernels)
    print(f"  {name}: {wall_ms:.1f} ms, GPU busy {busy_ms:.1f} ms in {calls} kernels and copies, {waits} waits for it")
    for event in sorted(kernels, key=lambda event: -event.self_device_time_total)[:6]:
        print(f"    {event.self_device_time_total / 1e3:8.2f} ms {event.count:6} x {event.key[:90]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="what to measure")
    parser.add_argument("--cycles", type=int, default=8, help="rollout cycles of a run; the first is not timed")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--beside", action="store_true", help="also with the sampler in its own process")
    parser.add_argument("--profile", action="store_true", help="also show where the time goes")
    arguments = parser.parse_args()
    if arguments.device == "cuda":
        memory_gb = torch.cuda.get_device_properties(0).total_memory / 2**30
        print(f"{torch.cuda.get_device_name()}, {memory_gb:.0f} GiB; torch {torch.__version__}, "
              f"transformers {transformers.__version__}")  # fmt: skip
    row = "{:<17}{:<22}{:>10}{:>12}{:>12}{:>12}{:>7}{:>9}{:>9}{:>9}"
    print(row.format("", "", "ms a step", "learner ms", "rollout s", "tokens/s", "idle", "peak GB", "start s", "gap"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for workload in arguments.only:
            for side, fields in list(SIDES.items())[: None if arguments.beside else 1]:
                config = config_of(workload, arguments.cycles, scratch, arguments.device, **fields)
                m = measure(config, arguments.cycles, scratch)
                print(row.format(
                    workload, side, f"{m.step_ms:.1f}", f"{m.learner_ms:.1f}", f"{m.rollout_s:.3f}",
                    f"{m.rollout_tokens_s:.0f}", f"{m.idle:.0%}", f"{m.peak_gb:.2f}", f"{m.setup_s:.1f}",
                    f"{m.engine_gap:.1e}",
                ), flush=True)  # fmt: skip
            if arguments.profile:
                profiled(config_of(workload, PROFILED_CYCLES, scratch, arguments.device), scratch)


if __name__ == "__main__":
    main()
