"""The errors of the vLLM engine where vLLM cannot be used. Where it can, test_samplers.py tests the engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from grpo_worker.rollout.sampler import vllm
from grpo_worker.schema.errors import SamplerError
from tests.conftest import tiny_run


def test_without_vllm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(SamplerError, match=r"pip install 'stalesweep\[vllm\]'"):
        vllm.VllmSampler(tiny_run(sampler={"engine": "vllm"}), tmp_path)


@pytest.mark.parametrize("transfer", ["ipc", "nccl"])
def test_a_transfer_between_gpus_is_refused_on_a_cpu(
    transfer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "find_spec", lambda name: name)
    with pytest.raises(SamplerError, match=f"'{transfer}' needs the sampler on a GPU"):
        vllm.VllmSampler(tiny_run(device="cpu", sampler={"engine": "vllm", "weight_transfer": transfer}), tmp_path)
