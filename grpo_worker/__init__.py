"""An asynchronous GRPO worker: it trains one run and measures how stale its rollouts are.

``loop`` is the whole run and the first thing to read; ``python -m grpo_worker`` starts it alone. The rooms below it are
``train``, ``rollout``, ``model``, ``tasks``, ``system`` and ``schema``; each imports only from those after it. The
control plane may import ``schema`` only.
"""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"


def import_large(name: str) -> ModuleType:
    """Import a module that creates very many objects, e.g. torch, without garbage collection while it is imported.

    For torch and transformers, collections would take a fifth of the time of the import. Afterwards all objects are
    frozen (`gc.freeze`), so that later collections skip them. A module that is already imported is returned as it is.
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
