"""A model and a task of the user's own: another architecture, prompts of unequal length, a chat template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from grpo_worker.config import TaskConfig, WorkerConfig
from grpo_worker.errors import ModelError
from grpo_worker.loop import run
from grpo_worker.policy import load_policy
from grpo_worker.records import FinishRecord, Record, SyncRecord
from grpo_worker.tasks import load_task

CHARACTERS = [*"0123456789+=?abcdefghijklmnopqrstuvwxyz :<>|", "<eos>"]


def save_model(folder: Path, architecture: str, chat_template: str | None = None) -> None:
    """A random model of some architecture with a character tokenizer, as a folder that transformers loads."""
    vocabulary = {character: i for i, character in enumerate(CHARACTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    size = len(CHARACTERS)
    config = {
        "gpt2": GPT2Config(vocab_size=size, n_embd=16, n_layer=1, n_head=2, n_positions=64, eos_token_id=size - 1),
        "llama": LlamaConfig(
            vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            eos_token_id=size - 1, bos_token_id=None,
        ),
    }[architecture]  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def save_task(path: Path, count: int = 40) -> None:
    lines = [json.dumps({"prompt": "what is " + "x" * (i % 7) + f"{i}+1?", "answer": i % 10}) for i in range(count)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def config(tmp_path: Path, request: pytest.FixtureRequest) -> WorkerConfig:
    architecture, template = request.param
    save_model(tmp_path / "model", architecture, template)
    save_task(tmp_path / "task.jsonl")
    return WorkerConfig.model_validate(
        {
            "model": {"name": "mine", "path": str(tmp_path / "model")}, "k": 2, "eta": 1e-2, "seed": 0, "horizon": 6,
            "prompts_per_batch": 4, "group_size": 4, "max_completion_tokens": 3, "kl_coef": 0.01, "clip_eps": 0.2,
            "prompts_per_forward": 3, "optimizer": {"warmup_steps": 0},
            "task": {"name": "jsonl", "path": str(tmp_path / "task.jsonl"), "verifier": "number", "val_prompts": 8},
        }
    )  # fmt: skip


TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"


@pytest.mark.parametrize(
    "config", [("gpt2", None), ("llama", None), ("gpt2", TEMPLATE)], indirect=True, ids=["gpt2", "llama", "chat"]
)
def test_a_model_of_ones_own_trains(config: WorkerConfig, tmp_path: Path) -> None:
    records: list[Record] = []
    run(config, records.append, cache_dir=tmp_path)
    syncs = [record for record in records if isinstance(record, SyncRecord)]
    assert isinstance(records[-1], FinishRecord)
    assert [sync.lag_max for sync in syncs] == [1, 1, 1]
    # The sampler decodes with a cache and the learner in one packed, padded forward: their log-probs must agree.
    assert all(sync.engine_gap < 1e-5 for sync in syncs)
    assert any(sync.reward > 0 for sync in syncs)
    assert syncs[-1].drift_from_start > 0


def test_prompts_go_through_the_chat_template(tmp_path: Path) -> None:
    save_model(tmp_path / "model", "gpt2", TEMPLATE)
    save_task(tmp_path / "task.jsonl")
    config = WorkerConfig.model_validate(
        {"model": {"name": "mine", "path": str(tmp_path / "model")}, "k": 1, "eta": 1e-3, "seed": 0}
    )
    policy = load_policy(config, tmp_path, torch.device("cpu"))
    problems = load_task(TaskConfig(name="jsonl", path=str(tmp_path / "task.jsonl"), val_prompts=3)).val
    prompts = policy.encode(problems)
    texts = policy.decode(prompts.token_PS.flip(1), prompts.mask_PS.flip(1))
    assert [text[::-1] for text in texts] == [f"<user>{problem.prompt}<assistant>" for problem in problems]


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    config = {"model": {"name": "mine", "path": str(tmp_path / "none")}, "k": 1, "eta": 1e-3, "seed": 0}
    with pytest.raises(ModelError, match="model 'mine' cannot be loaded: there is no folder"):
        load_policy(WorkerConfig.model_validate(config), tmp_path, torch.device("cpu"))
