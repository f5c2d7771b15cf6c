"""The builtin tiny policy: a two-layer Llama that adds two numbers, made in seconds on a CPU.

RL needs a policy that is sometimes right. A supervised warm-up makes one: half of its demonstrations answer a+b+1, so
that the policy then samples the right sum about half of the time.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from grpo_worker.schema.config import TaskConfig, TinyConfig, content_digest
from grpo_worker.schema.errors import ModelError
from grpo_worker.system.randomness import generator
from grpo_worker.tasks.arithmetic import ALPHABET, arithmetic_task

BUILTIN_TINY = "builtin:tiny"
_RECIPE = 1  # raise it when the warm-up changes, so that cached policies are made anew
_ANSWER_TOKENS = 4  # three digits and the end of the sequence
CHECKSUMS = "SHA256SUMS"
"""The file beside the weights that says what they are; ``sha256sum -c SHA256SUMS`` checks them by hand."""

log = logging.getLogger(__name__)


def ensure_tiny_policy(tiny: TinyConfig, task: TaskConfig, seed: int, cache_dir: Path) -> Path:
    """Return the folder of the warmed-up tiny policy; make it first if it does not exist.

    The folder's name is a digest of everything that determines its content. The folder is renamed into place when it is
    complete. Of several processes that need it at the same time, one makes it and the others wait. A folder whose files
    are not what was written, by their checksums, is made anew.

    Raises:
        ModelError: The task is not the builtin one.
    """
    if task.name != "arithmetic" or task.template is not None:
        found = f"{task.name!r}" + (" with a template" if task.template is not None else "")
        raise ModelError(f"{BUILTIN_TINY} knows only the task 'arithmetic' without a template, not {found}")
    content = {
        "tiny": tiny.model_dump(), "val_prompts": task.val_prompts, "seed": seed, "recipe": _RECIPE,
        "torch": torch.__version__,
    }  # fmt: skip
    folder = cache_dir / f"tiny-{content_digest(content)}"
    if _is_intact(folder):
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (
        _locked(folder.with_suffix(".lock")),
        tempfile.TemporaryDirectory(dir=cache_dir, prefix=".tiny-") as scratch,
    ):
        if not _is_intact(folder):
            if folder.exists():
                log.warning("%s is damaged or has no checksums: it is made anew", folder)
                shutil.rmtree(folder)
            log.info("warming up the tiny policy for seed %d: %d supervised steps", seed, tiny.warmup_steps)
            model = warm_up(tiny, task, seed)
            model.save_pretrained(scratch)
            tiny_tokenizer().save_pretrained(scratch)
            lines = [_checksum(path) for path in sorted(Path(scratch).iterdir())]
            (Path(scratch) / CHECKSUMS).write_text("".join(lines))
            Path(scratch).rename(folder)
            os.mkdir(scratch)  # noqa: PTH102  (TemporaryDirectory wants to delete it)
    return folder


def _is_intact(folder: Path) -> bool:
    try:
        lines = (folder / CHECKSUMS).read_text().splitlines(keepends=True)
        return bool(lines) and all(line == _checksum(folder / line[66:].strip()) for line in lines)
    except (OSError, ValueError):
        return False


def _checksum(path: Path) -> str:
    """A line as ``sha256sum`` prints it."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per character: the digits, ``+``, ``=``, padding and end of sequence, 14 in all."""
    vocabulary = {token: i for i, token in enumerate([*ALPHABET, "<pad>", "<eos>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


def warm_up(tiny: TinyConfig, task: TaskConfig, seed: int) -> LlamaForCausalLM:
    """Train a new tiny policy on demonstrations with Adam; over the second half the learning rate falls to 0."""
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=tiny.hidden_size, num_hidden_layers=tiny.layers,
                num_attention_heads=tiny.heads, intermediate_size=tiny.mlp_size, max_position_embeddings=64,
                initializer_range=0.1, tie_word_embeddings=False,
                bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            )
        )  # fmt: skip
    if tiny.warmup_steps == 0:
        return model
    right_DL, wrong_DL = (_demonstrations(task, tokenizer, added) for added in (0, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=tiny.warmup_lr, betas=(0.9, 0.99), fused=True)
    random = generator(seed, "warm-up")
    for step in range(tiny.warmup_steps):
        optimizer.param_groups[0]["lr"] = tiny.warmup_lr * min(1.0, 2 * (1 - step / tiny.warmup_steps))
        rows = torch.randint(len(right_DL), (tiny.warmup_batch_size,), generator=random)
        corrupted = torch.rand(len(rows), generator=random) < tiny.corrupted_fraction
        token_BL = torch.where(corrupted.unsqueeze(1), wrong_DL[rows], right_DL[rows])
        logits_BTV = model(input_ids=token_BL[:, :-1], use_cache=False, logits_to_keep=_ANSWER_TOKENS).logits
        loss = torch.nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1),
            token_BL[:, -_ANSWER_TOKENS:].flatten(),
            ignore_index=model.config.pad_token_id,
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return model


def _demonstrations(task: TaskConfig, tokenizer: PreTrainedTokenizerFast, added: int) -> Tensor:
    """One row for each training problem: prompt, answer + ``added``, end of sequence, padding."""
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    rows = []
    for problem in arithmetic_task(task).train:
        answer = [*tokenizer.encode(str(int(problem.answer) + added)), eos]
        rows.append(tokenizer.encode(problem.prompt) + answer + [pad] * (_ANSWER_TOKENS - len(answer)))
    return torch.tensor(rows)
