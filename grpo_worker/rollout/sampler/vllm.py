"""vLLM as the rollout engine. Written and tested with vLLM 0.32, whose outputs name the weight version of each token.

vLLM changes the process that it runs in (environment, signal handling, global seed, threads), so a run starts it in a
separate one. On a CPU its engine runs inside that process. On a GPU its engine runs in another one again, because
``ipc`` maps GPU memory of one process into another, and CUDA cannot map it into the same process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.model.policy import end_ids, model_folder
from grpo_worker.rollout.sampler import no_pull
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import SamplerError, WorkerError
from grpo_worker.system.devices import sampler_device

CPU_CACHE_BYTES = 256 * 2**20  # for keys and values; requests that do not fit wait


class VllmSampler:
    """A vLLM engine that starts with the initial policy as version 0.

    Each completion is a separate request, whose seed is a hash of its row of uniforms. They determine what is sampled,
    whatever else is in the batch, but not as in `HfSampler`, which inverts the cumulative distribution at them.

    Args:
        config: The run's config.
        cache_dir: Where warmed-up builtin policies are kept.

    Raises:
        SamplerError: vLLM is not installed, does not start, or does not support the configured weight transfer.
        ModelError: The model cannot be found.
    """

    def __init__(self, config: WorkerConfig, cache_dir: Path) -> None:
        if find_spec("vllm") is None:
            raise SamplerError("sampler.engine 'vllm' needs vLLM: pip install 'stalesweep[vllm]'")
        self._config, self._device = config, sampler_device(config)
        on_gpu = self._device.type == "cuda"
        self._backend = _backend(config.sampler.weight_transfer, on_gpu)
        self._folder = model_folder(config, cache_dir)
        os.environ.update(_environment(config, on_gpu))
        with _engine_errors("start"):
            from vllm import LLM

            from grpo_worker.rollout.sampler import vllm_transfer

            self._transfer = vllm_transfer
            self._llm = LLM(model=self._folder, **_settings(config, self._device, self._backend))
            if not on_gpu:
                _check_head_size(self._llm)
            self._llm.update_weight_version("0")
            generation = self._llm.model_config.try_get_generation_config()
        tokenizer = AutoTokenizer.from_pretrained(self._folder)
        self._eos_ids = end_ids(generation.get("eos_token_id"), tokenizer)
        self._pad_id = int(self._eos_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
        self._base: Mapping[str, Tensor] = {}
        self._source = vllm_transfer.NamedWeights()
        self._sender: Any = None
        self._requests = 0

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `Sampler.load`."""
        llm = self._llm
        self._source.weights = self._merged(weights) if self._config.lora.rank else weights
        with _engine_errors("take new weights"):
            if self._sender is None:
                self._sender = self._transfer.connect(self._backend, llm, self._source, self._device)
            llm.sleep(level=0, mode="keep")
            self._sender.send_weights()
            llm.update_weight_version(str(version))
            llm.reset_prefix_cache(reset_running_requests=True)
            llm.wake_up(tags=["scheduling"])

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        """See `Sampler.sample`. ``pull`` is called before each engine step, which samples a token for every request."""
        completions = Completions(
            token_BT=torch.full_like(uniform_BT, self._pad_id, dtype=torch.long),
            mask_BT=torch.zeros_like(uniform_BT),
            logp_BT=torch.zeros_like(uniform_BT),
            version_BT=torch.zeros_like(uniform_BT, dtype=torch.long),
        )
        engine = self._llm.llm_engine
        with _engine_errors("sample"):
            row_of = self._submit(prompts, group_size, uniform_BT)
            while engine.has_unfinished_requests():
                pull()
                for output in engine.step():
                    _fill(completions, row_of[output.request_id], output.outputs[0])
        return completions

    def close(self) -> None:
        """See `Sampler.close`."""
        from vllm.distributed import cleanup_dist_env_and_memory

        if self._sender is not None:
            self._sender.shutdown()
        self._llm.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()

    def _submit(self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor) -> dict[str, int]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        prompt_ids = [
            [token for token, real in zip(tokens, mask, strict=True) if real]
            for tokens, mask in zip(prompts.token_PS.tolist(), prompts.mask_PS.tolist(), strict=True)
        ]
        longest, length, limit = max(map(len, prompt_ids)), uniform_BT.shape[1], self._llm.model_config.max_model_len
        if longest + length > limit:  # vLLM would cut the completions
            raise SamplerError(
                f"a prompt of {longest} tokens and a completion of {length} exceed vLLM's {limit} tokens"
            )
        row_of = {}
        for row, uniform_T in enumerate(uniform_BT.cpu().numpy()):
            digest = hashlib.sha256(uniform_T.tobytes()).digest()
            parameters = SamplingParams(
                temperature=self._config.temperature, max_tokens=length, seed=int.from_bytes(digest[:7]),
                stop_token_ids=self._eos_ids, ignore_eos=True, logprobs=0, flat_logprobs=True, detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )  # fmt: skip
            request = str(self._requests)
            self._requests += 1
            row_of[request] = row
            prompt = {"prompt_token_ids": prompt_ids[row // group_size]}
            self._llm.llm_engine.add_request(request, prompt, parameters)
        return row_of

    def _merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The merged weights W + (α/r)·B·A, by their names in the model without adapters.

        Source: LoRA, arXiv 2106.09685, section 4.1 (no additional inference latency).
        """
        if not self._base:
            dtype = getattr(torch, self._config.model.dtype)
            self._base = AutoModelForCausalLM.from_pretrained(self._folder, dtype=dtype).state_dict()
        scale = self._config.lora.alpha / self._config.lora.rank
        merged = {}
        for name, a in weights.items():
            if ".lora_A." in name:
                module = name.partition(".lora_A.")[0]
                base = self._base[f"{module}.weight"].to(a.device)
                update = scale * weights[name.replace(".lora_A.", ".lora_B.")].float() @ a.float()
                merged[f"{module}.weight"] = (base.float() + update).to(base.dtype)
        return merged


def _backend(asked: str, on_gpu: bool) -> str:
    if asked == "auto":
        return "ipc" if on_gpu else "file"
    if asked != "file" and not on_gpu:
        raise SamplerError(f"weight_transfer {asked!r} needs the sampler on a GPU; allowed on a CPU: 'file', 'auto'")
    return asked


def _environment(config: WorkerConfig, on_gpu: bool) -> dict[str, str]:
    """Environment variables that vLLM reads when it is imported. Those that the user has set are kept."""
    values = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_LOGGING_STREAM": "ext://sys.stderr", "VLLM_NO_USAGE_STATS": "1"}
    if on_gpu:
        values |= {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}  # ipc's handles are pickled
    else:  # without the second, vLLM compiles parts even if eager, which takes 13 s and a C++ compiler
        values |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1"}
        values |= {"OMP_NUM_THREADS": str(config.threads)}
    return {name: os.environ.get(name, value) for name, value in values.items()}


def _settings(config: WorkerConfig, device: torch.device, backend: str) -> dict[str, Any]:
    """Arguments of `vllm.LLM`. There is no top-p or top-k, because the learner's distribution has none."""
    settings: dict[str, Any] = {
        "dtype": config.model.dtype, "seed": 0, "max_model_len": -1, "skip_tokenizer_init": True,
        "logprobs_mode": "processed_logprobs", "enable_prefix_caching": True, "use_tqdm_on_load": False,
        "weight_transfer_config": {"backend": backend},
        "worker_extension_cls": "grpo_worker.rollout.sampler.vllm_transfer.EndWithParent",
    }  # fmt: skip
    if device.type == "cuda":
        gpu = {"gpu_memory_utilization": config.sampler.gpu_memory_utilization, "device_ids": [device.index or 0]}
        return settings | gpu
    return settings | {"enforce_eager": True, "block_size": 32, "kv_cache_memory_bytes": CPU_CACHE_BYTES}


def _check_head_size(llm: Any) -> None:
    """Check the size of the attention heads at the start, because vLLM on a CPU would fail later and less clearly."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    size, allowed = llm.model_config.get_head_size(), CPUAttentionBackend.get_supported_head_sizes()
    if size not in allowed:
        raise SamplerError(
            f"vLLM on a CPU needs attention heads of size {', '.join(map(str, allowed))}; the model's have size {size} "
            "(builtin:tiny has 32 with tiny.heads = 1)"
        )


def _fill(completions: Completions, row: int, output: Any) -> None:
    """Write the output of a finished request into its row."""
    length = len(output.token_ids)
    completions.token_BT[row, :length] = torch.tensor(output.token_ids)
    completions.mask_BT[row, :length] = 1.0
    completions.logp_BT[row, :length] = torch.tensor(output.logprobs.logprobs)
    for span in output.weight_versions:
        completions.version_BT[row, span.start : span.end] = int(span.version)


@contextmanager
def _engine_errors(what: str) -> Iterator[None]:
    try:
        yield
    except WorkerError:
        raise
    except Exception as error:
        raise SamplerError(f"vLLM failed to {what}: {type(error).__name__}: {error}") from error
