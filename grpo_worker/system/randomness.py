"""Random numbers that depend only on what they are drawn for, so that a resumed run draws the same ones."""

from __future__ import annotations

import hashlib

import torch


def generator(*purpose: str | int) -> torch.Generator:
    """A new CPU generator, seeded by its purpose, e.g. ``generator(seed, "prompts", batch_number)``."""
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
