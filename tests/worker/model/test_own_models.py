"""A model and a task of the user's own: another architecture, prompts of unequal length, a chat template."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from grpo_worker import loop as loop_module
from grpo_worker.loop import run
from grpo_worker.model.policy import FlatParameters, Policy, end_ids, load_policy
from grpo_worker.model.tiny import tiny_tokenizer
from grpo_worker.schema.config import TaskConfig, WorkerConfig
from grpo_worker.schema.errors import ModelError
from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, SyncRecord
from grpo_worker.tasks import Problem, load_task
from grpo_worker.train.learner import Learner
from tests.conftest import tiny_run

CPU = torch.device("cpu")
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


@pytest.mark.parametrize(("template", "beginnings"), [(None, 1), (TEMPLATE, 0)])
def test_special_tokens_are_added_only_without_a_chat_template(
    tmp_path: Path, template: str | None, beginnings: int
) -> None:
    """A template writes its own beginning of sequence: the tokenizer must not add a second."""
    save_model(tmp_path, "gpt2", template)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    special = [("|", tokenizer.convert_tokens_to_ids("|"))]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("| $A", special_tokens=special)
    policy = Policy(AutoModelForCausalLM.from_pretrained(tmp_path), tokenizer)
    prompts = policy.encode([Problem("what is 1+1?", "2"), Problem("1?", "1")])
    assert (prompts.token_PS == special[0][1]).sum(1).tolist() == [beginnings] * 2


def test_what_ends_a_completion() -> None:
    """The model's generation config decides, which may name several tokens; else the tokenizer does."""
    tokenizer = tiny_tokenizer()
    assert end_ids(None, tokenizer) == [tokenizer.eos_token_id]
    assert end_ids(3, tokenizer) == [3]
    assert end_ids([3, 5], tokenizer) == [3, 5]


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    config = {"model": {"name": "mine", "path": str(tmp_path / "none")}, "k": 1, "eta": 1e-3, "seed": 0}
    with pytest.raises(ModelError, match="model 'mine' cannot be loaded: there is no folder"):
        load_policy(WorkerConfig.model_validate(config), tmp_path, torch.device("cpu"))


def with_adapters(rank: int = 4, **fields: object) -> WorkerConfig:
    return tiny_run(lora={"rank": rank}, **fields)


def weights_of(policy: Policy) -> dict[str, Tensor]:
    """A copy of the weights by the names they have without adapters; those of the adapters are left out."""
    return {name.replace(".base_layer", ""): weight.clone() for name, weight in policy.model.state_dict().items()
            if "lora_" not in name}  # fmt: skip


@pytest.mark.slow  # peft takes seconds to import
def test_adapters_stand_on_every_linear_layer_and_start_as_nothing(policy_cache: Path) -> None:
    torch.manual_seed(1)
    random_state = torch.random.get_rng_state()
    policy, again = (load_policy(with_adapters(), policy_cache, CPU) for _ in range(2))
    other = load_policy(with_adapters(seed=1, tiny={"warmup_steps": 0}), policy_cache, CPU)
    assert torch.equal(torch.random.get_rng_state(), random_state), "only randomness by purpose is drawn"
    base = load_policy(tiny_run(), policy_cache, CPU)
    linear = {name for name, module in base.model.named_modules() if isinstance(module, nn.Linear)}
    trainable = {name: p for name, p in policy.model.named_parameters() if p.requires_grad}
    assert set(trainable) == {f"{name}.lora_{side}.default.weight" for name in linear - {"lm_head"} for side in "AB"}
    for name, p in again.model.named_parameters():
        assert torch.equal(p, policy.model.get_parameter(name))
        if name.endswith("lora_A.default.weight"):
            assert not torch.equal(p, other.model.get_parameter(name))
    assert {name: w.tolist() for name, w in weights_of(policy).items()} == {
        name: w.tolist() for name, w in weights_of(base).items()
    }
    token_BL = torch.randint(0, 12, (5, 9))
    assert torch.equal(policy.model(token_BL).logits, base.model(token_BL).logits)
    assert policy.packs


def test_adapters_learn_and_the_base_stays_to_the_bit(policy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Policy] = []
    load = loop_module.load_policy
    monkeypatch.setattr(loop_module, "load_policy", lambda *args: loaded.append(load(*args)) or loaded[-1])
    config = with_adapters(rank=8, eta=5e-3, horizon=96, clip_eps=0.2, kl_coef=1e-3)
    records: list[Record] = []
    run(config, records.append, cache_dir=policy_cache)
    evals = [record.val_reward for record in records if isinstance(record, EvalRecord)]
    syncs = [record for record in records if isinstance(record, SyncRecord)]
    # The base answers a + b + 1 half of the time; learning brings the right half out.
    assert evals[0] < 0.55
    assert evals[-1] > evals[0] + 0.1
    # The sampler gets the adapters alone, by name: it must then sample from what the learner has learnt.
    assert all(sync.engine_gap is not None and sync.engine_gap < 1e-5 for sync in syncs)
    assert syncs[-1].kl_reference > 1e-3, "the reference is the policy as it was"
    base = weights_of(load_policy(tiny_run(), policy_cache, CPU))
    trained = next(policy for policy in loaded if any(p.requires_grad for p in policy.model.parameters()))
    assert all(torch.equal(weight, base[name]) for name, weight in weights_of(trained).items())


def test_adapters_without_peft(policy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"lora\.rank needs peft: pip install 'stalesweep\[lora\]'"):
        load_policy(with_adapters(), policy_cache, CPU)


def test_a_bfloat16_policy_moves_as_far_as_a_float32_one(policy_cache: Path) -> None:
    """A bfloat16 weight of size 0.1 cannot change by 1e-6, so θ itself must be kept more precisely."""
    syncs = {}
    for dtype in ("float32", "bfloat16"):
        records: list[Record] = []
        config = tiny_run(model={"dtype": dtype}, eta=1e-6, horizon=12)
        assert run(config, records.append, cache_dir=policy_cache).outcome == "stable"
        syncs[dtype] = [record for record in records if isinstance(record, SyncRecord)]
    for exact, rounded in zip(*syncs.values(), strict=True):
        assert rounded.update_norm == pytest.approx(exact.update_norm, rel=0.05)
        assert rounded.drift_from_start == pytest.approx(exact.drift_from_start, rel=0.05)
        assert rounded.gradient_norm == pytest.approx(exact.gradient_norm, rel=0.3)
        assert rounded.engine_gap is not None and rounded.engine_gap < 0.01
        values = [value for value in dataclasses.asdict(rounded).values() if isinstance(value, float)]
        assert all(map(math.isfinite, values))


def test_a_bfloat16_policy_learns(policy_cache: Path) -> None:
    records: list[Record] = []
    run(tiny_run(model={"dtype": "bfloat16"}, eta=5e-4, horizon=40), records.append, cache_dir=policy_cache)
    evals = [record.val_reward for record in records if isinstance(record, EvalRecord)]
    assert evals[-1] > evals[0] + 0.1


def test_a_bfloat16_model_computes_with_theta_as_it_is(policy_cache: Path) -> None:
    policy = load_policy(tiny_run(model={"dtype": "bfloat16"}), policy_cache, CPU)
    parameters = FlatParameters(policy.model)
    assert parameters.theta_N.dtype == parameters.grad_N.dtype == torch.float32
    parameters.assign(parameters.snapshot().fill_(0.3))
    assert all(torch.equal(p, torch.full_like(p, 0.3)) for p in policy.model.parameters())
    assert float(parameters.theta_N.detach().min()) == pytest.approx(0.3)
    for _ in range(2):  # gradients of several pieces add up
        sum(p.float().sum() for p in policy.model.parameters()).backward()
    assert torch.equal(parameters.grad_N, torch.full_like(parameters.grad_N, 2.0))


def test_norms_and_cosines_of_a_large_policy_are_exact(policy_cache: Path) -> None:
    """Over many parameters, float32 sums that lose small terms would give cosines above 1.

    Of 2²⁴ numbers added up at once, the norm would be wrong by 8e-4 of its size and the dot product by 8e-6.
    """
    config = tiny_run(tiny={"warmup_steps": 0})
    learner = Learner(load_policy(config, policy_cache, CPU), config)
    a_N = torch.randn(2**24, generator=torch.Generator().manual_seed(0)).mul_(1e-4)
    b_N = a_N.roll(1).add_(a_N)
    exact = [float(torch.linalg.vector_norm(x_N, dtype=torch.float64)) for x_N in (a_N, b_N)]
    assert float(learner.norm(a_N)) == pytest.approx(exact[0], rel=1e-4)
    dot = sum(float(torch.dot(a.double(), b.double())) for a, b in zip(a_N.split(2**20), b_N.split(2**20), strict=True))
    assert float(learner.dot(a_N, b_N)) == pytest.approx(dot, rel=1e-6)
