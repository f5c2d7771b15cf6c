"""Imports everything that a further process of a run may need; the server that starts them imports this module."""

from __future__ import annotations

from grpo_worker import import_large

for name in ("grpo_worker.rollout.sampler.engines", "grpo_worker.rollout.sampler.hf", "grpo_worker.train.sharded"):
    import_large(name)
