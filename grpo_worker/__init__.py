"""An asynchronous GRPO worker: one training run, with its staleness measured. Runs alone: ``python -m grpo_worker``."""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"


def import_large(name: str) -> ModuleType:
    """Import a module that stays, with all that it defines, unless that was done.

    torch and transformers make so many objects that looking for garbage among them takes a fifth of the time; and so
    that no later look costs as much, they are left out of all of them.
    """
    if name in sys.modules:
        return sys.modules[name]
    collected = gc.isenabled()
    gc.disable()
    try:
        module = importlib.import_module(name)
        gc.freeze()
    finally:
        if collected:
            gc.enable()
    return module
