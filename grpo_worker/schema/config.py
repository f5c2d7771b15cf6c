"""The worker's configuration: one frozen schema, shared with the grid file. Torch-free.

Every field but the four axes (model, k, eta, seed) has a default: the quickstart recipe, measured to show
stable and collapsing cells within seconds on a CPU. It departs from usual GRPO settings in two places, on
purpose: ``clip_eps = 1.0`` and ``kl_coef = 0.0``. With usual values fewer cells collapse (``sweeps/clip-and-kl.yaml``).
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

    name: str = Field(default="tiny", min_length=1, description="what tables and files call the model")
    path: str = Field(
        default="builtin:tiny",
        min_length=1,
        description="a folder, a hub id, or builtin:tiny (made on the spot)",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="dtype that the model computes in; θ is float32"
    )


class LoraConfig(Section):
    """Low-rank adapters on every linear layer, through peft; they alone are trained."""

    rank: Count = Field(default=0, description="rank of the adapters; 0 = train all weights")
    alpha: PositiveFloat = Field(default=16.0, description="the adapters' output is scaled by alpha / rank")


class SamplerConfig(Section):
    """The rollout engine, and where it runs."""

    engine: Literal["hf", "vllm"] = Field(default="hf", description="hf: transformers, CPU or GPU; vllm: vLLM")
    process: StrictBool | None = Field(
        default=None, description="sample in a process of its own; unset = for overlap and queue, and for vllm"
    )
    count: PositiveInt = Field(default=1, description="queue: how many sampler processes run freely")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto, cpu, cuda or cuda:N; auto = the second GPU where the sampler has its own process and there "
        "is one, else the learner's",
    )
    weight_transfer: Literal["auto", "file", "ipc", "nccl"] = Field(
        default="auto", description="vllm: how weights reach the engine; auto = file on a CPU, ipc on a GPU"
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.3, description="vllm: share of the GPU's memory for its weights and cache"
    )


class TinyConfig(Section):
    """The builtin policy and its supervised warm-up; read only when the model is ``builtin:tiny``.

    Half of the demonstrations answer a+b+1. That leaves a coherent skill for RL to bring out; clean or
    randomly wrong demonstrations leave too little signal.
    """

    hidden_size: PositiveInt = Field(default=32, description="width of the residual stream")
    layers: PositiveInt = Field(default=2, description="decoder layers")
    heads: PositiveInt = Field(default=4, description="attention heads; divides hidden_size")
    mlp_size: PositiveInt = Field(default=64, description="width of the feed-forward layer")
    warmup_steps: Count = Field(default=700, description="supervised steps before RL starts")
    warmup_batch_size: PositiveInt = Field(default=256, description="demonstrations in a supervised step")
    warmup_lr: PositiveFloat = Field(
        default=5e-3, description="peak supervised learning rate; decays over the last half"
    )
    corrupted_fraction: Fraction = Field(default=0.5, description="share of demonstrations that answer a+b+1")


Verifier = (
    Literal["exact", "number", "math"]
    | Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$", description="module:function of yours")]
)


class TaskConfig(Section):
    """Prompts and verifiable rewards."""

    name: Literal["arithmetic", "jsonl", "gsm8k", "reasoning_gym"] = Field(
        default="arithmetic", description="builtin sums, a file of yours, GSM8K, or a dataset of reasoning-gym"
    )
    path: str | None = Field(
        default=None,
        description="jsonl: a file with one {prompt, answer} object a line; gsm8k: a folder, a file or a hub id, unset "
        "= openai/gsm8k; reasoning_gym: the dataset, e.g. countdown",
    )
    options: dict[str, str | int | float | bool] = Field(
        default={}, description="reasoning_gym: settings of the dataset, e.g. {max_numbers: 4}"
    )
    template: Annotated[str, Field(pattern=r"\{prompt\}", description="text that holds {prompt}")] | None = Field(
        default=None,
        description="what the model is asked, the task's prompt in the place of {prompt}; unset = that alone",
    )
    verifier: Verifier | None = Field(
        default=None,
        description="exact: equal after stripping; number: the last number in the completion; math: equal mathematics; "
        "unset = the task's own (exact, gsm8k: number, reasoning_gym: the dataset's score)",
    )
    val_prompts: PositiveInt = Field(default=256, description="prompts held out for validation, never trained on")

    @model_validator(mode="after")
    def _names_its_data(self) -> TaskConfig:
        if self.name in ("jsonl", "reasoning_gym") and self.path is None:
            raise ValueError(f"task.path is needed when task.name is {self.name!r}")
        return self

    def ask(self, prompt: str) -> str:
        """Put a prompt into the template."""
        return prompt if self.template is None else self.template.replace("{prompt}", prompt)


class OptimizerConfig(Section):
    """The optimizer, with gradient clipping and a linear learning-rate warm-up to a constant."""

    name: Literal["adamw", "sgd", "normalized_sgd"] = Field(
        default="adamw", description="normalized_sgd: every update has the norm of the learning rate"
    )
    beta1: Beta = Field(default=0.9, description="adamw: decay of the first moment")
    beta2: Beta = Field(default=0.999, description="adamw: decay of the second moment")
    eps: PositiveFloat = Field(default=1e-8, description="adamw: added to the root of the second moment")
    weight_decay: NonNegativeFloat = Field(default=0.0, description="decoupled weight decay")
    grad_clip: NonNegativeFloat = Field(default=1.0, description="bound of the gradient norm; 0 = no clipping")
    warmup_steps: Count = Field(default=10, description="learner steps until the learning rate reaches eta")


class CollapseConfig(Section):
    """When a run counts as collapsed. Any detector can be applied again to the stored metrics later."""

    detector: Literal["half", "zero"] = Field(
        default="half",
        description="half: validation reward below a fraction of its start, to the end; "
        "zero: the paper's, training reward 0 to the end",
    )
    fraction: Fraction = Field(default=0.5, description="half: the fraction of the initial validation reward")
    min_evals: PositiveInt = Field(default=3, description="how many observations at the end must agree")
    stop_after_evals: Count = Field(
        default=0,
        description="end the run once this many observations in a row agree; 0 = always train to the horizon",
    )


class WorkerConfig(Section):
    """Everything that decides what one run computes. Source of the symbols: arXiv 2607.01083."""

    model: ModelConfig = Field(description="the policy")
    k: PositiveInt = Field(description="staleness: learner steps per rollout cycle")
    eta: PositiveFloat = Field(description="learning rate η")
    seed: Count = Field(description="seeds the warm-up, the prompts and the sampling")
    horizon: PositiveInt = Field(default=320, description="training horizon T in learner steps")

    pipeline: Literal["reuse", "overlap", "delay", "queue"] = Field(
        default="reuse",
        description="which batch a learner step consumes, at which lag: reuse: the last weight sync's, 0 to k-1; "
        "overlap: the one generated meanwhile, k to 2k-1; delay: a fresh one, k; queue: whatever is ready, at most k",
    )
    reuse: Literal["replay", "split"] = Field(
        default="replay",
        description="reuse and overlap: replay: the whole batch k times; split: k disjoint parts, each once",
    )
    sync_every_steps: PositiveInt = Field(default=1, description="queue: learner steps between weight syncs, at most k")
    prompts_per_batch: PositiveInt = Field(default=16, description="prompts a learner step consumes")
    group_size: Annotated[StrictInt, Field(ge=2)] = Field(default=8, description="rollouts per prompt, G")
    prompts_per_forward: PositiveInt | None = Field(
        default=None, description="prompts whose rollouts the learner holds in memory at once; unset = the whole batch"
    )
    pack_groups: StrictBool = Field(
        default=True, description="share the forward of a prompt among its completions, where that saves time"
    )
    temperature: PositiveFloat = Field(default=1.0, description="sampling temperature")
    max_completion_tokens: PositiveInt = Field(default=4, description="longest completion, end-of-sequence included")

    clip_eps: PositiveFloat = Field(default=1.0, description="ε of the clipped importance ratio")
    clip_eps_high: PositiveFloat | None = Field(default=None, description="ε above 1, where it differs from clip_eps")
    kl_coef: NonNegativeFloat = Field(default=0.0, description="β, weight of the KL to the reference policy")
    kl_estimator: Literal["k1", "k2", "k3"] = Field(
        default="k3", description="estimator of that KL per token, and with it its gradient"
    )
    advantage_std: StrictBool = Field(default=True, description="divide advantages by the group's standard deviation")
    loss_aggregation: Literal["sequence_mean", "token_mean"] = Field(
        default="sequence_mean", description="mean over a sequence's tokens, then sequences; or over all tokens at once"
    )
    correction: Literal["none", "tis", "decoupled", "cispo", "gspo", "m2po", "gac", "vcpo", "eta_over_k"] = Field(
        default="none", description="what corrects for staleness"
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    lora: LoraConfig = LoraConfig()
    learner_ranks: PositiveInt = Field(
        default=1, description="processes that share the learner's weights and batches, each on a GPU (FSDP)"
    )
    sampler: SamplerConfig = SamplerConfig()

    task: TaskConfig = TaskConfig()
    tiny: TinyConfig = TinyConfig()
    eval_every_steps: PositiveInt = Field(default=8, description="learner steps between validations, whatever k is")
    collapse: CollapseConfig = CollapseConfig()

    checkpoint_every_steps: Count = Field(
        default=96, description="learner steps between checkpoints; 0 = none on this period"
    )
    checkpoint_every_s: NonNegativeFloat = Field(
        default=600.0, description="seconds between checkpoints; 0 = none on this period"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto = cuda where there is one")
    threads: PositiveInt = Field(default=1, description="CPU threads of torch; more than one changes the bits")

    @model_validator(mode="after")
    def _fits_together(self) -> WorkerConfig:
        if self.pipeline == "queue" and self.sync_every_steps > self.k:
            raise ValueError(f"sync_every_steps = {self.sync_every_steps} must not exceed k = {self.k}: the lag would")
        if self.pipeline == "queue" and self.sampler.process is False:
            raise ValueError("pipeline 'queue' needs samplers with their own process: leave sampler.process unset")
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
        """The last weight sync whose rollout cycle is over after so many learner steps, or None."""
        return learner_steps // self.steps_per_sync - 1 if learner_steps >= self.steps_per_sync else None

    @property
    def samples_in_own_process(self) -> bool:
        """Whether the rollout engine runs beside the learner instead of between its steps."""
        if self.sampler.process is not None:
            return self.sampler.process
        return self.pipeline in ("overlap", "queue") or self.sampler.engine == "vllm"

    @property
    def rollouts_per_step(self) -> int:
        """Rollouts B that a learner step consumes."""
        return self.prompts_per_batch * self.group_size

    @property
    def digest(self) -> str:
        """Content hash of the whole config, the run's identity beside its place in a sweep."""
        return content_digest(self.model_dump(mode="json"))


def content_digest(content: Any) -> str:
    """Hash JSON-able content: 16 hex digits that do not depend on the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_config(path: Path) -> WorkerConfig:
    """Read one run's config from a YAML file.

    Raises:
        ConfigError: The file cannot be read or a field is wrong; every wrong field is named.
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
        raise ConfigError("\n".join([f"{path}: {len(lines)} mistakes", *lines])) from error
