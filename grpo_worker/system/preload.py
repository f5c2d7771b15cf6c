"""Imported by the server of further processes: all that any of them needs."""

from __future__ import annotations

from grpo_worker import import_large

for name in ("grpo_worker.rollout.sampler.engines", "grpo_worker.rollout.sampler.hf", "grpo_worker.train.sharded"):
    import_large(name)
