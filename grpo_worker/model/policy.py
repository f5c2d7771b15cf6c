"""Policies: any causal language model that transformers loads, its tokenizer, its parameters as one flat vector."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from grpo_worker.model import llama, packing
from grpo_worker.model.batches import PromptBatch, RolloutBatch, attention_mask, position_ids
from grpo_worker.model.log_probs import token_log_probs
from grpo_worker.model.tiny import BUILTIN_TINY, ensure_tiny_policy
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import ModelError
from grpo_worker.system.randomness import generator
from grpo_worker.tasks import Problem


@dataclass(frozen=True, slots=True)
class Policy:
    """A causal language model and its tokenizer.

    Attributes:
        model: The model, in evaluation mode: there is no dropout, not in learning either.
        tokenizer: Its tokenizer.
        packs: Whether the completions of a prompt may share one forward pass (`grpo_worker.model.packing`).
        lean: Whether `grpo_worker.model.llama` may compute in place of the model.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    packs: bool = False
    lean: bool = False

    @property
    def pad_id(self) -> int:
        """Token id for padding. It has no effect on a loss."""
        pad_id = self.tokenizer.pad_token_id
        return int(pad_id if pad_id is not None else self.eos_ids[0])

    @property
    def eos_ids(self) -> list[int]:
        """Token ids that end a completion."""
        generation = getattr(self.model, "generation_config", None)
        return end_ids(getattr(generation, "eos_token_id", None), self.tokenizer)

    def encode(self, problems: Sequence[Problem]) -> PromptBatch:
        """Tokenise prompts, with the tokenizer's chat template if it has one, and pad them on the left."""
        prompts, tokenizer = [problem.prompt for problem in problems], self.tokenizer
        if tokenizer.chat_template:
            chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
            prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompts, add_special_tokens=not tokenizer.chat_template)["input_ids"]
        width = max(map(len, ids))
        device = next(self.model.parameters()).device
        padded = [[self.pad_id] * (width - len(row)) + row for row in ids]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in ids]
        return PromptBatch(torch.tensor(padded, device=device), torch.tensor(mask, device=device))

    def decode(self, token_BT: Tensor, mask_BT: Tensor) -> list[str]:
        """Texts of completions, without special tokens."""
        lengths = mask_BT.sum(1).long().tolist()
        rows = [tuple(row[:length]) for row, length in zip(token_BT.tolist(), lengths, strict=True)]
        distinct = list(dict.fromkeys(rows))
        texts = self.tokenizer.batch_decode(distinct, skip_special_tokens=True)
        text_of = dict(zip(distinct, texts, strict=True))
        return [text_of[row] for row in rows]

    def completion_log_probs(self, batch: RolloutBatch, temperature: float, group_size: int) -> tuple[Tensor, Tensor]:
        """Compute the log-prob and the entropy of each completion token in one forward pass; see `token_log_probs`.

        Args:
            batch: Whole groups.
            temperature: The sampling temperature.
            group_size: G. The completions of a group share one row where that saves time and the model allows it.
        """
        dtype = next(self.model.parameters()).dtype
        rows = packing.pack(batch, group_size, dtype) if self.packs else None
        if self.lean and llama.is_plain(self.model):
            rows = rows or packing.pack(batch, 1, dtype)
            assert rows is not None, "single rows never grow"
            return llama.log_probs(self.model, batch, rows, temperature)
        if rows is not None:
            return packing.packed_log_probs(self.model, batch, rows, temperature)
        return token_log_probs(self._separate_logits(batch), batch.token_BT, temperature)

    def _separate_logits(self, batch: RolloutBatch) -> Tensor:
        length = batch.token_BT.shape[1]
        token_BL = torch.cat([batch.prompt_BS, batch.token_BT[:, :-1]], dim=1)
        # Padding on the right needs no mask: with the causal mask no real token attends to it.
        mask_BL = nn.functional.pad(batch.prompt_mask_BS, (0, length - 1), value=1)
        logits: Tensor = self.model(
            input_ids=token_BL, attention_mask=attention_mask(mask_BL), position_ids=position_ids(mask_BL),
            use_cache=False, logits_to_keep=length,
        ).logits  # fmt: skip
        return logits


def end_ids(generation_eos: int | Sequence[int] | None, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids that end a completion: those of the model's generation config if it has any, else the tokenizer's."""
    eos = tokenizer.eos_token_id if generation_eos is None else generation_eos
    return [int(i) for i in eos] if isinstance(eos, Sequence) else [int(eos)]


class FlatParameters:
    """The trainable parameters as one float32 vector θ and one gradient vector.

    The optimizer, clipping and every diagnostic are then single operations on [N] vectors. In a float32 model the
    parameters are views of θ. A model of lower precision computes with θ rounded to its dtype, because small updates of
    the rounded weights would be lost: a bfloat16 weight cannot change by much less than 1/256 of its size.

    Args:
        model: Its trainable parameters must share one dtype and device.

    Raises:
        ModelError: They do not.

    Source: master weights in float32 are those of arXiv 1710.03740 §3.1.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        kinds = {(p.dtype, p.device) for p in parameters}
        if len(kinds) != 1:
            raise ModelError(
                f"the trainable parameters must share one dtype and device, found {sorted(map(str, kinds))}"
            )
        self._weights_N = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.theta_N = nn.Parameter(self._weights_N.float())  # the same memory if it is float32 already
        self.grad_N = torch.zeros_like(self.theta_N.data)
        self.theta_N.grad = self.grad_N
        offset = 0
        for p in parameters:
            view = slice(offset, offset + p.numel())
            p.data = self._weights_N[view].view_as(p)
            gradient = self.grad_N[view].view_as(p)
            if p.dtype == torch.float32:
                p.grad = gradient
            else:
                p.register_post_accumulate_grad_hook(functools.partial(_move_gradient, gradient))  # type: ignore[no-untyped-call]
            offset += p.numel()

    def __len__(self) -> int:
        return self.theta_N.numel()

    def snapshot(self) -> Tensor:
        """A copy of θ."""
        return self.theta_N.detach().clone()

    def assign(self, vector_N: Tensor) -> None:
        """Replace θ."""
        self.theta_N.data.copy_(vector_N)
        self.to_model()

    def to_model(self) -> None:
        """Copy θ to the model. The caller does this after each change of θ; `assign` does it itself."""
        if self._weights_N.dtype != torch.float32:
            self._weights_N.copy_(self.theta_N.data)


def _move_gradient(into: Tensor, parameter: Tensor) -> None:
    assert parameter.grad is not None
    into += parameter.grad
    parameter.grad = None


def model_folder(config: WorkerConfig, cache_dir: Path) -> str:
    """The folder or hub id of a config's model; the builtin policy is made first if it is not in the cache.

    Args:
        config: The run's config.
        cache_dir: Where warmed-up builtin policies are kept.

    Raises:
        ModelError: There is no such folder.
    """
    path = config.model.path
    if path == BUILTIN_TINY:
        return str(ensure_tiny_policy(config.tiny, config.task, config.seed, cache_dir))
    if path.startswith((".", "/", "~")):
        path = str(Path(path).expanduser())
        if not Path(path).is_dir():
            raise ModelError(f"model {config.model.name!r} cannot be loaded: there is no folder {path!r}")
    return path


def load_policy(config: WorkerConfig, cache_dir: Path, device: torch.device) -> Policy:
    """Load the policy that a config names; the builtin one is made first if it is not in the cache.

    Args:
        config: The run's config.
        cache_dir: Where warmed-up builtin policies are kept.
        device: Where the weights go.

    Raises:
        ModelError: The model or its tokenizer cannot be loaded.
    """
    transformers_logging.disable_progress_bar()
    path = model_folder(config, cache_dir)
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, config.model.dtype))
        if config.lora.rank:
            add_adapters(model, config)
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {config.model.name!r} cannot be loaded from {path!r}: {error}") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of model {config.model.name!r} has no end-of-sequence token")
    model = model.to(device).eval()
    lean = llama.is_exact(model)
    if lean:
        llama.side_by_side(model)
    return Policy(model, tokenizer, packs=config.pack_groups and packing.is_exact(model), lean=lean)


def add_adapters(model: nn.Module, config: WorkerConfig) -> None:
    """Freeze a model and add low-rank adapters to every linear layer but the output head.

    At first they have no effect, because their second matrix is zero.

    Source: LoRA, arXiv 2106.09685, eq. (3).

    Raises:
        ModelError: peft is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise ModelError("lora.rank needs peft: pip install 'stalesweep[lora]'") from error
    adapters = peft.LoraConfig(r=config.lora.rank, lora_alpha=config.lora.alpha, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "adapters").initial_seed())
        peft.inject_adapter_in_model(adapters, model)
