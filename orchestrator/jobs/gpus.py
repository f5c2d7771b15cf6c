"""Divide the GPUs of this machine among local jobs, as Slurm does on a cluster."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from orchestrator.base.urls import harmless_environment

_TIMEOUT_S = 30


def visible() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Empty where no NVIDIA driver answers, and where GPUs are split into instances, which are not divided.
    """
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [name.strip() for name in said.split(",") if name.strip() not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=uuid,mig.mode.current", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, env=harmless_environment(), capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    gpus = [line.partition(", ") for line in answer.stdout.splitlines()]
    if answer.returncode or any(mode == "Enabled" for *_, mode in gpus):
        return []
    return [uuid for uuid, *_ in gpus]


def dealt(gpus: Sequence[str], each: int, number: int) -> list[str] | None:
    """Choose the GPUs of one of several processes. Where there are too few, processes share them in turns.

    Each process asks for so many, 0 = it sees all; they are numbered from 0. None stands for all GPUs.
    """
    shares = len(gpus) // each if each else 0
    if not shares:
        return None
    first = number % shares * each
    return list(gpus[first : first + each])
