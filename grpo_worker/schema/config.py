"""Every setting of a run, as one frozen schema that the grid file shares. Nothing here imports torch.

Every field but the four axes (model, k, eta, seed) has a default. With the defaults a sweep of the tiny policy shows
stable and collapsing cells within seconds on a CPU. They differ from usual GRPO settings in two places, on purpose:
``clip_eps = 1.0`` and ``kl_coef = 0.0``; with usual values fewer cells collapse (``sweeps/clip-and-kl.yaml``).

Users read the descriptions of the fields in docs/grid-file.md, which is generated from them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator

from grpo_worker.schema.errors import ConfigError

PositiveInt = Annotated[StrictInt, Field(ge=1)]
Count = Annotated[StrictInt, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelConfig(Section):
    """Which causal language model to train."""

    name: str = Field(default="tiny", min_length=1, description="the name of the model in tables and files")
    path: str = Field(
        default="builtin:tiny",
        min_length=1,
        description="a folder, an id on the Hugging Face hub, or builtin:tiny, a small policy that is made when first "
        "used",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="the dtype that the model computes in; the weights that the optimizer updates stay in float32",
    )


class LoraConfig(Section):
    """Low-rank adapters (through peft) on every linear layer but the output head; only they are trained."""

    rank: Count = Field(
        default=0, description="rank of the low-rank adapters; 0 = no adapters, all weights are trained"
    )
    alpha: PositiveFloat = Field(default=16.0, description="the output of the adapters is scaled by alpha / rank")


class SamplerConfig(Section):
    """The rollout engine, and where it runs."""

    engine: Literal["hf", "vllm"] = Field(
        default="hf", description="what samples the rollouts: hf = transformers, vllm = vLLM"
    )
    process: StrictBool | None = Field(
        default=None,
        description="whether rollouts are sampled in a separate process; unset = yes with pipeline overlap or queue "
        "and with vllm, else no",
    )
    count: PositiveInt = Field(default=1, description="with pipeline queue: the number of sampler processes")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="the device that samples: auto, cpu, cuda or cuda:N; auto = the first GPU that the learner leaves "
        "free, if the sampler has a separate process, else the learner's device",
    )
    weight_transfer: Literal["auto", "file", "ipc", "nccl"] = Field(
        default="auto",
        description="with vllm: how the learner's weights reach the engine; auto = file on a CPU, ipc on a GPU",
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.3, description="with vllm: the share of the GPU's memory that it takes for its weights and cache"
    )


class TinyConfig(Section):
    """The builtin policy and its supervised warm-up; used only when the model is ``builtin:tiny``.

    Half of the demonstrations answer a+b+1 instead of a+b, so that the policy is right about half of the time and RL
    has something to improve. With correct or randomly wrong demonstrations there is too little signal to learn from.
    """

    hidden_size: PositiveInt = Field(default=32, description="width of the residual stream, in dimensions")
    layers: PositiveInt = Field(default=2, description="number of decoder layers")
    heads: PositiveInt = Field(default=4, description="number of attention heads; must divide hidden_size")
    mlp_size: PositiveInt = Field(default=64, description="width of the feed-forward layer, in dimensions")
    warmup_steps: Count = Field(default=700, description="supervised training steps before RL starts")
    warmup_batch_size: PositiveInt = Field(default=256, description="demonstrations per supervised step")
    warmup_lr: PositiveFloat = Field(
        default=5e-3,
        description="learning rate of the supervised steps; over the second half of them it falls linearly to 0",
    )
    corrupted_fraction: Fraction = Field(
        default=0.5, description="share of the demonstrations whose answer is a+b+1 instead of a+b"
    )


Verifier = (
    Literal["exact", "number", "math"]
    | Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$", description="module:function of your own")]
)


class TaskConfig(Section):
    """Where the prompts come from and how completions are rewarded."""

    name: Literal["arithmetic", "jsonl", "gsm8k", "reasoning_gym"] = Field(
        default="arithmetic",
        description="where the prompts come from: arithmetic = builtin sums, jsonl = a file of your own, gsm8k, or "
        "reasoning_gym = one of the datasets of that package",
    )
    path: str | None = Field(
        default=None,
        description="with jsonl: a file with one {prompt, answer} object per line; with gsm8k: a folder, a file or a "
        "hub id, unset = openai/gsm8k; with reasoning_gym: the name of the dataset, e.g. countdown",
    )
    options: dict[str, str | int | float | bool] = Field(
        default={}, description="with reasoning_gym: settings of the dataset, e.g. {max_numbers: 4}"
    )
    template: Annotated[str, Field(pattern=r"\{prompt\}", description="text that contains {prompt}")] | None = Field(
        default=None,
        description="the text that the model gets, with {prompt} in the place of the task's prompt; unset = the prompt",
    )
    verifier: Verifier | None = Field(
        default=None,
        description="how a completion is compared with the answer: exact = equal apart from white space around it, "
        "number = its last number is equal, math = mathematically equal, or a function of your own; unset = number for "
        "gsm8k, the dataset's own score for reasoning_gym, else exact",
    )
    val_prompts: PositiveInt = Field(
        default=256, description="number of prompts that are held out for validation and never trained on"
    )

    @model_validator(mode="after")
    def _names_its_data(self) -> TaskConfig:
        if self.name in ("jsonl", "reasoning_gym") and self.path is None:
            raise ValueError(f"task.path is needed when task.name is {self.name!r}")
        return self

    def ask(self, prompt: str) -> str:
        """Return the text that the model gets for a prompt of the task."""
        return prompt if self.template is None else self.template.replace("{prompt}", prompt)


class OptimizerConfig(Section):
    """The optimizer, with gradient clipping and a linear learning-rate warm-up to a constant."""

    name: Literal["adamw", "sgd", "normalized_sgd"] = Field(
        default="adamw",
        description="the optimizer; with normalized_sgd the norm of every update equals the learning rate",
    )
    beta1: Beta = Field(default=0.9, description="with adamw: decay of the first moment")
    beta2: Beta = Field(default=0.999, description="with adamw: decay of the second moment")
    eps: PositiveFloat = Field(default=1e-8, description="with adamw: added to the root of the second moment")
    weight_decay: NonNegativeFloat = Field(default=0.0, description="decoupled weight decay")
    grad_clip: NonNegativeFloat = Field(
        default=1.0, description="largest norm of the gradient; a larger one is scaled down to it; 0 = no clipping"
    )
    warmup_steps: Count = Field(
        default=10, description="learner steps over which the learning rate rises linearly to eta"
    )


class CollapseConfig(Section):
    """When a run counts as collapsed. ``fit-laws`` can apply another detector to the stored metrics later."""

    detector: Literal["half", "zero"] = Field(
        default="half",
        description="when a run counts as collapsed: half = from some validation on, the reward stays below a fraction "
        "of its initial value; zero = from some weight sync on, the training reward stays 0 (the paper's definition)",
    )
    fraction: Fraction = Field(default=0.5, description="with half: the fraction of the initial validation reward")
    min_evals: PositiveInt = Field(
        default=3, description="how many observations (validations or weight syncs) at the end must show the collapse"
    )
    stop_after_evals: Count = Field(
        default=0,
        description="end the run as soon as this many observations in a row show the collapse; 0 = always train to the "
        "horizon",
    )


class WorkerConfig(Section):
    """Everything that decides what one run computes. The symbols are those of arXiv 2607.01083."""

    model: ModelConfig = Field(description="the language model to train")
    k: PositiveInt = Field(description="staleness: learner steps per rollout cycle")
    eta: PositiveFloat = Field(description="learning rate η")
    seed: Count = Field(description="seed of the warm-up, of the choice of prompts and of the sampling")
    horizon: PositiveInt = Field(default=320, description="length of the training T, in learner steps")

    pipeline: Literal["reuse", "overlap", "delay", "queue"] = Field(
        default="reuse",
        description="how sampling and learning interleave, and thus the lag of the tokens that a learner step consumes "
        "(how many learner steps old they are). reuse = sample a batch, then learn from it for k steps (lag 0 to k-1); "
        "overlap = sample the next batch while learning from the last one (lag k to 2k-1); delay = every step consumes "
        "a new batch of lag k; queue = samplers run freely, and the lag is at most k",
    )
    reuse: Literal["replay", "split"] = Field(
        default="replay",
        description="with pipeline reuse or overlap: how the k learner steps of a cycle use its batch. replay = every "
        "step consumes the whole batch, so that each rollout is used k times; split = the batch is k times as large, "
        "and every step consumes another part of it, so that each rollout is used once",
    )
    sync_every_steps: PositiveInt = Field(
        default=1, description="with pipeline queue: learner steps from one weight sync to the next, at most k"
    )
    prompts_per_batch: PositiveInt = Field(default=16, description="number of prompts that a learner step consumes")
    group_size: Annotated[StrictInt, Field(ge=2)] = Field(default=8, description="number of rollouts per prompt, G")
    prompts_per_forward: PositiveInt | None = Field(
        default=None,
        description="number of prompts whose rollouts the learner passes through the model at once; fewer need less "
        "memory; unset = the whole batch",
    )
    pack_groups: StrictBool = Field(
        default=True,
        description="compute a prompt once for all its completions where that saves time; results differ by rounding "
        "only",
    )
    temperature: PositiveFloat = Field(default=1.0, description="sampling temperature")
    max_completion_tokens: PositiveInt = Field(
        default=4, description="largest number of tokens in a completion, end-of-sequence included"
    )

    clip_eps: PositiveFloat = Field(
        default=1.0, description="ε of the clipping: importance ratios are clipped to the interval from 1-ε to 1+ε"
    )
    clip_eps_high: PositiveFloat | None = Field(
        default=None, description="ε for the upper end of that interval; unset = clip_eps"
    )
    kl_coef: NonNegativeFloat = Field(
        default=0.0, description="β, weight of the KL term, which keeps the policy near the reference policy"
    )
    kl_estimator: Literal["k1", "k2", "k3"] = Field(
        default="k3",
        description="how the KL of a token is estimated; the choice changes its gradient too (docs/objective.md)",
    )
    advantage_std: StrictBool = Field(
        default=True, description="divide the advantages of a group by the standard deviation of its rewards"
    )
    loss_aggregation: Literal["sequence_mean", "token_mean"] = Field(
        default="sequence_mean",
        description="how the loss averages over tokens: sequence_mean = over the tokens of each sequence, then over "
        "sequences; token_mean = over all tokens at once",
    )
    correction: Literal["none", "tis", "decoupled", "cispo", "gspo", "m2po", "gac", "vcpo", "eta_over_k"] = Field(
        default="none", description="the method that corrects for staleness; docs/objective.md explains each"
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    lora: LoraConfig = LoraConfig()
    learner_ranks: PositiveInt = Field(
        default=1,
        description="number of processes, each on its own GPU, that share the learner's weights and batches (FSDP)",
    )
    sampler: SamplerConfig = SamplerConfig()

    task: TaskConfig = TaskConfig()
    tiny: TinyConfig = TinyConfig()
    eval_every_steps: PositiveInt = Field(
        default=8, description="learner steps from one validation to the next; they do not depend on k"
    )
    collapse: CollapseConfig = CollapseConfig()

    checkpoint_every_steps: Count = Field(
        default=96, description="save a checkpoint every so many learner steps; 0 = not by steps"
    )
    checkpoint_every_s: NonNegativeFloat = Field(
        default=600.0, description="save a checkpoint every so many seconds; 0 = not by time"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="the device that trains; auto = cuda if there is a GPU, else cpu"
    )
    threads: PositiveInt = Field(
        default=1, description="number of CPU threads that torch uses; more than 1 changes results by rounding"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> WorkerConfig:
        if self.pipeline == "queue" and self.sync_every_steps > self.k:
            raise ValueError(
                f"sync_every_steps = {self.sync_every_steps} must not exceed k = {self.k}: else lags would exceed k too"
            )
        if self.pipeline == "queue" and self.sampler.process is False:
            raise ValueError("pipeline 'queue' needs samplers in separate processes: leave sampler.process unset")
        if self.pipeline in ("delay", "queue") and self.reuse == "split":
            raise ValueError(
                f"reuse 'split' has no meaning with pipeline {self.pipeline!r}, which uses each batch once"
            )
        if self.prompts_per_batch % self.learner_ranks:
            raise ValueError(
                f"learner_ranks = {self.learner_ranks} must divide prompts_per_batch = {self.prompts_per_batch}"
            )
        return self

    @property
    def steps_per_batch(self) -> int:
        """Learner steps that consume one rollout batch."""
        return self.k if self.pipeline in ("reuse", "overlap") else 1

    @property
    def steps_per_sync(self) -> int:
        """Learner steps from one weight sync to the next: the length of a rollout cycle."""
        return self.sync_every_steps if self.pipeline == "queue" else self.steps_per_batch

    def last_whole_sync(self, learner_steps: int) -> int | None:
        """The last weight sync whose rollout cycle is complete after so many learner steps, or None."""
        return learner_steps // self.steps_per_sync - 1 if learner_steps >= self.steps_per_sync else None

    @property
    def samples_in_own_process(self) -> bool:
        """Whether the rollout engine runs in a separate process, beside the learner instead of between its steps."""
        if self.sampler.process is not None:
            return self.sampler.process
        return self.pipeline in ("overlap", "queue") or self.sampler.engine == "vllm"

    @property
    def rollouts_per_step(self) -> int:
        """Rollouts B that a learner step consumes."""
        return self.prompts_per_batch * self.group_size

    @property
    def digest(self) -> str:
        """Content hash of the whole config. With the run's place in a sweep it identifies the run."""
        return content_digest(self.model_dump(mode="json"))


def content_digest(content: Any) -> str:
    """Hash content that JSON can express: 16 hex digits, which do not depend on the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_config(path: Path) -> WorkerConfig:
    """Read one run's config from a YAML file.

    Raises:
        ConfigError: The file cannot be read or fields are wrong; the message names every wrong field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of worker fields, found {type(content).__name__}")
    try:
        return WorkerConfig.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']} (found {e['input']!r})" for e in error.errors()]
        mistakes = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise ConfigError("\n".join([f"{path}: {mistakes}", *lines])) from error
