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
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from grpo_worker.errors import ConfigError

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
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="dtype of the weights")


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


class TaskConfig(Section):
    """Prompts and verifiable rewards."""

    name: Literal["arithmetic", "jsonl"] = Field(default="arithmetic", description="builtin sums, or a file of yours")
    path: str | None = Field(default=None, description="jsonl: a file with one {prompt, answer} object a line")
    verifier: Literal["exact", "number"] = Field(
        default="exact", description="exact: equal after stripping; number: the last number in the completion"
    )
    val_prompts: PositiveInt = Field(default=256, description="prompts held out for validation, never trained on")


class OptimizerConfig(Section):
    """AdamW with gradient clipping and a linear learning-rate warm-up to a constant."""

    beta1: Beta = Field(default=0.9, description="decay of the first moment")
    beta2: Beta = Field(default=0.999, description="decay of the second moment")
    eps: PositiveFloat = Field(default=1e-8, description="added to the root of the second moment")
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

    pipeline: Literal["reuse"] = Field(default="reuse", description="which batch a learner step consumes")
    reuse: Literal["replay", "split"] = Field(
        default="replay", description="replay: the whole batch k times; split: k disjoint parts, each once"
    )
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
    kl_coef: NonNegativeFloat = Field(default=0.0, description="β, weight of the KL to the reference policy")
    advantage_std: StrictBool = Field(default=True, description="divide advantages by the group's standard deviation")
    optimizer: OptimizerConfig = OptimizerConfig()

    task: TaskConfig = TaskConfig()
    tiny: TinyConfig = TinyConfig()
    eval_every_steps: PositiveInt = Field(default=8, description="learner steps between validations, whatever k is")
    collapse: CollapseConfig = CollapseConfig()

    checkpoint_every_steps: Count = Field(
        default=96,
        description="save at the first weight sync after so many steps; 0 = only when asked to stop",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto = cuda where there is one")
    threads: PositiveInt = Field(default=1, description="CPU threads of torch; more than one changes the bits")

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
